"""What a message costs, by transport and payload, beside a bare socket between the same two processes.

Prints one JSON object a line. `round_trip`: a request and its echo, which the child copies from the one to the other
(so the payload is copied twice); `blocking` with both ends blocking (memfd only), `asyncio` with the orchestrator's
end in an event loop. `one_way`: messages sent one after the other, each read by the child with one copy. Every
payload is compared after its time was taken. Times are microseconds, medians with the 10th and 90th percentile; the
forms of one payload alternate in one run, so that they share whatever else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import socket
import statistics
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turnwise.sharedmem import Endpoint, LinkMessage, Peer, Transport, connect, launch
from turnwise.sharedmem.exchange import Notice
from turnwise.sharedmem.transport import resolve

ECHO, SINK, SUM, BARE = 1, 2, 3, 4
BLOCKS = 12


def serve(end: Endpoint) -> None:
    """The child: echo, or read and sum up when asked."""
    checksum, scratch = 0, bytearray()
    while (message := end.receive()) is not None:
        with message:
            if message.kind == ECHO:
                end.send(ECHO, message.body)
            elif message.kind == SINK:
                scratch[:] = message.body
            elif message.kind == SUM:
                checksum = zlib.crc32(scratch)
                end.send(SUM, checksum.to_bytes(4, "little"))
            elif message.kind == BARE:
                bare(int(bytes(message.body)))
                end.send(BARE)


def bare(packets: int) -> None:
    """Echo packets of 16 bytes on file descriptor 1, which is a socket here."""
    with socket.socket(fileno=os.dup(1)) as wire:
        for _ in range(packets):
            wire.send(wire.recv(16))


def report(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def spread(times_s: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times_s, n=10, method="inclusive")
    return {
        "us_median": round(statistics.median(times_s) * 1e6, 2),
        "us_p10": round(cuts[0] * 1e6, 2),
        "us_p90": round(cuts[-1] * 1e6, 2),
        "count": len(times_s),
    }


async def start(transport: Transport) -> Peer:
    here = Path(__file__)
    path = os.pathsep.join([str(here.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return await launch(here.stem, name=transport, transport=transport, environment={"PYTHONPATH": path})


async def round_trips(peer: Peer, data: bytes, count: int) -> list[float]:
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        if not peer.send_nowait(ECHO, data):
            await peer.send(ECHO, data)
        message = await peer.receive()
        assert message is not None, peer.stderr_tail()
        with message:
            times.append(time.perf_counter() - begin)
            assert message.body == data
    return times


async def one_way(peer: Peer, data: bytes, count: int) -> float:
    """Seconds for `count` messages, from the first to the answer that all were read."""
    begin = time.perf_counter()
    for _ in range(count):
        if not peer.send_nowait(SINK, data):
            await peer.send(SINK, data)
    await peer.send(ECHO)
    message = await peer.receive()
    assert message is not None, peer.stderr_tail()
    message.release()
    elapsed = time.perf_counter() - begin
    await peer.send(SUM)
    message = await peer.receive()
    assert message is not None, peer.stderr_tail()
    with message:
        assert int.from_bytes(message.body, "little") == zlib.crc32(data)
    return elapsed


class BlockingPair:
    """A child whose orchestrator's end blocks as well: what the memory and the socket cost, without an event loop."""

    def __init__(self) -> None:
        assert sys.platform == "linux"
        import subprocess

        from turnwise.sharedmem.connect import endpoint_spec
        from turnwise.sharedmem.memfd import MemfdLoopWire

        self._wire = MemfdLoopWire(asyncio.get_running_loop())
        self._socket = self._wire._socket
        self._socket.setblocking(True)
        self.bare, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, __file__, endpoint_spec("memfd", self._wire.handle)],
            pass_fds=[self._wire.handle],
            stdout=theirs.fileno(),
        )
        theirs.close()
        self._wire.child_started()
        self.put = self._wire.put
        self.end = Endpoint(self)

    def take(self) -> LinkMessage | None:
        found = self._wire.exchange.feed(self._socket.recv(17))
        return self._wire._attend(found) if isinstance(found, Notice) else found

    def poll(self) -> bool:
        return bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        self._wire.close()
        self.bare.close()
        self._process.wait()

    def round_trips(self, data: bytes, count: int) -> list[float]:
        times = []
        for _ in range(count):
            begin = time.perf_counter()
            self.end.send(ECHO, data)
            message = self.end.receive()
            assert message is not None
            with message:
                times.append(time.perf_counter() - begin)
                assert message.body == data
        return times

    def bare_round_trips(self, count: int) -> list[float]:
        self.end.send(BARE, str(count).encode())
        times = []
        packet = bytes(range(16))
        for _ in range(count):
            begin = time.perf_counter()
            self.bare.send(packet)
            reply = self.bare.recv(16)
            times.append(time.perf_counter() - begin)
            assert reply == packet
        message = self.end.receive()
        assert message is not None
        message.release()
        return times


async def measure(sizes: list[int], budget: Callable[[int], int]) -> None:
    transports: list[Transport] = ["portable"]
    blocking = None
    if resolve("auto") == "memfd":
        transports.insert(0, "memfd")
        blocking = BlockingPair()
    peers = {transport: await start(transport) for transport in transports}
    try:
        for size in sizes:
            data = os.urandom(size)
            count = budget(size)
            times: dict[str, list[float]] = {}
            throughput: dict[str, list[float]] = {}
            for block in range(BLOCKS + 1):  # the first warms up and is not counted
                for transport, peer in peers.items():
                    trips = await round_trips(peer, data, count)
                    seconds = await one_way(peer, data, count)
                    if block:
                        times.setdefault(transport, []).extend(trips)
                        throughput.setdefault(transport, []).append(size * count / seconds / 1e9)
                if blocking is not None:
                    trips, bare_trips = blocking.round_trips(data, count), blocking.bare_round_trips(count)
                    if block:
                        times.setdefault("blocking", []).extend(trips)
                        times.setdefault("bare", []).extend(bare_trips)
            if blocking is not None:
                report(bench="bare_socket", bytes=16, **spread(times["bare"]))
                report(bench="round_trip", transport="memfd", form="blocking", bytes=size, **spread(times["blocking"]))
            for transport in transports:
                report(bench="round_trip", transport=transport, form="asyncio", bytes=size, **spread(times[transport]))
                report(
                    bench="one_way",
                    transport=transport,
                    bytes=size,
                    messages_per_s=round(statistics.median(throughput[transport]) * 1e9 / size) if size else None,
                    gb_per_s_median=round(statistics.median(throughput[transport]), 3),
                    gb_per_s_min=round(min(throughput[transport]), 3),
                    gb_per_s_max=round(max(throughput[transport]), 3),
                )
    finally:
        for peer in peers.values():
            await peer.close()
        if blocking is not None:
            blocking.end.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, nargs="*", default=[0, 1_000, 100_000, 1_000_000, 10_000_000, 100_000_000])
    parser.add_argument(
        "--trips", type=int, default=200, help="round trips in each of 12 blocks, fewer if they are long"
    )
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.bytes, lambda size: max(2, min(arguments.trips, 20_000_000 // (size + 1)))))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].split(":")[0] in ("memfd", "portable"):
        with connect(sys.argv) as endpoint:
            serve(endpoint)
    else:
        main()
