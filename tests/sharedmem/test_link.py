"""The orchestrator's end against the other end of the wire in the same process: honest, slow, and hostile."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from turnwise.sharedmem import Endpoint, Link, NoMemory, PeerBroken, PeerGone, Transport, packet
from turnwise.sharedmem.peer import make_wire
from turnwise.sharedmem.transport import Geometry

if sys.platform == "win32":
    pytest.skip("pipe ends have no file descriptor to duplicate there", allow_module_level=True)

GEOMETRY = Geometry(slots=3, slot_bytes=4096)
memfd_only = pytest.mark.skipif(sys.platform != "linux", reason="memfd exists on Linux only")


class Both:
    """A link and the wire of the child, which tests use raw or through an endpoint."""

    def __init__(self, link: Link, child: Any, broken: list[str]) -> None:
        self.link = link
        self.child = child
        self.broken = broken

    def endpoint(self) -> Endpoint:
        return Endpoint(self.child)


@asynccontextmanager
async def both(transport: Transport) -> AsyncIterator[Both]:
    wire = make_wire(transport, asyncio.get_running_loop(), GEOMETRY)  # type: ignore[arg-type]
    broken: list[str] = []
    link = Link(wire, name="child", on_broken=lambda: broken.append("broken"))
    child: Any
    if transport == "memfd":
        from turnwise.sharedmem.memfd_child import MemfdBlockingWire

        child = MemfdBlockingWire(os.dup(wire.handle))
    else:
        from turnwise.sharedmem.pipe import PipeBlockingWire

        child = PipeBlockingWire(os.dup(wire.handle))
    wire.child_started()
    try:
        yield Both(link, child, broken)
    finally:
        link.close()
        link.close()
        child.close()
        await asyncio.to_thread(wire.join)


def test_messages_arrive_in_order_and_whole(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            end = pair.endpoint()
            for size in (0, 1, 4095, 4096, 4097, 12_288, 40_000):
                data = os.urandom(size)
                sending = asyncio.create_task(pair.link.send(size, data[: size // 3], data[size // 3 :]))
                received = await asyncio.to_thread(end.receive)
                await sending
                assert received is not None
                with received:
                    assert (received.kind, received.body.readonly) == (size, True)
                    assert bytes(received.body) == data
                    await asyncio.to_thread(end.send, 7, received.body)
                back = await pair.link.receive()
                assert back is not None
                with back:
                    assert (back.kind, back.body.readonly) == (7, True)
                    assert bytes(back.body) == data

    run(main())


def fill(link: Link) -> int:
    """Send until there is no room; how many messages that were."""
    count = 0
    while link.send_nowait(0, bytes(1_000_000)):  # more than the buffer of a pipe holds
        count += 1
    return count


def test_a_sender_without_room_waits_and_keeps_its_place(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            count = fill(pair.link)
            assert count >= 3
            first = asyncio.create_task(pair.link.send(10, bytes(10_000)))
            second = asyncio.create_task(pair.link.send(11, b"small"))
            await asyncio.sleep(0)
            assert not pair.link.send_nowait(12, b"would overtake")
            end = pair.endpoint()
            kinds: list[int] = []
            for _ in range(count + 2):
                message = await asyncio.to_thread(end.receive)
                assert message is not None
                kinds.append(message.kind)
                message.release()
            await asyncio.gather(first, second)
            assert kinds == [0] * count + [10, 11]

    run(main())


def test_a_send_that_is_cancelled_is_void_and_the_next_one_whole(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            fill(pair.link)
            sending = asyncio.create_task(pair.link.send(1, bytes(20_000)))
            await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            waiting = asyncio.create_task(pair.link.send(2, b"next"))
            end = pair.endpoint()
            kinds: list[int] = []
            while kinds[-1:] != [2]:
                message = await asyncio.to_thread(end.receive)
                assert message is not None
                kinds.append(message.kind)
                message.release()
            await waiting
            assert 1 not in kinds

    run(main())


def test_a_kind_out_of_range_is_refused_and_the_link_goes_on(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            for kind in (-1, 65_536):
                with pytest.raises(ValueError, match="kind"):
                    await pair.link.send(kind, b"")
            await pair.link.send(5, b"fine")
            message = await asyncio.to_thread(pair.endpoint().receive)
            assert message is not None
            with message:
                assert bytes(message.body) == b"fine"

    run(main())


@memfd_only
def test_no_memory_for_a_message_says_so_to_its_sender_alone(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, flags: int) -> int:
        raise OSError(12, "Cannot allocate memory")

    async def main() -> None:
        async with both("memfd") as pair:
            with monkeypatch.context() as patch:
                patch.setattr(os, "memfd_create", refuse)
                with pytest.raises(NoMemory, match="Cannot allocate") as caught:
                    await pair.link.send(1, bytes(5000))
                assert caught.value.where == "child"
            await pair.link.send(2, b"short")
            message = await asyncio.to_thread(pair.endpoint().receive)
            assert message is not None
            with message:
                assert (message.kind, pair.broken) == (2, [])

    run(main())


@memfd_only
def test_no_memory_for_what_the_child_sends_ends_the_link(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, flags: int) -> int:
        raise OSError(24, "Too many open files")

    async def main() -> None:
        async with both("memfd") as pair:
            with monkeypatch.context() as patch:
                patch.setattr(os, "memfd_create", refuse)
                sending = asyncio.create_task(asyncio.to_thread(pair.endpoint().send, 1, bytes(5000)))
                with pytest.raises(NoMemory, match="Too many open files"):
                    await pair.link.receive()
                with pytest.raises(PeerGone):
                    await sending
            assert pair.broken == ["broken"]

    run(main())


def test_everybody_who_waits_learns_of_the_end(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            fill(pair.link)
            senders = [asyncio.create_task(pair.link.send(1, b"waits")) for _ in range(2)]
            receiver = asyncio.create_task(pair.link.receive())
            await asyncio.sleep(0)
            pair.child.close()
            assert await receiver is None
            for sender in senders:
                with pytest.raises(PeerGone):
                    await sender
            assert await pair.link.receive() is None
            with pytest.raises(PeerGone):
                await pair.link.send(1, b"late")
            with pytest.raises(PeerGone):
                pair.link.send_nowait(1, b"late")
            assert pair.broken == []

    run(main())


def test_what_was_sent_before_the_end_is_received(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            end = pair.endpoint()
            end.send(1, b"one")
            end.send(2, b"two")
            pair.child.close()
            kinds = []
            while (message := await pair.link.receive()) is not None:
                with message:
                    kinds.append((message.kind, bytes(message.body)))
            assert kinds == [(1, b"one"), (2, b"two")]

    run(main())


def test_closing_ends_who_waits_and_keeps_what_is_held(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            end = pair.endpoint()
            end.send(1, b"held")
            end.send(2, b"never received")
            held = await pair.link.receive()
            assert held is not None
            receiver = asyncio.create_task(pair.link.receive())
            unread = await receiver
            assert unread is not None
            unread.release()
            receiver = asyncio.create_task(pair.link.receive())
            await asyncio.sleep(0)
            pair.link.close()
            assert await receiver is None
            assert bytes(held.body) == b"held"
            held.release()
            assert await asyncio.to_thread(end.receive) is None
            end.close()

    run(main())


@memfd_only
def test_a_message_is_received_outside_of_the_loop_and_who_waits_in_it_sleeps_on(run: Any) -> None:
    async def main() -> None:
        async with both("memfd") as pair:
            end = pair.endpoint()
            waiting = asyncio.create_task(pair.link.receive())
            await asyncio.sleep(0)
            assert pair.link.receive_soon(0) is None
            end.send(1, b"soon")
            message = pair.link.receive_soon(10_000)
            assert message is not None
            with message:
                assert bytes(message.body) == b"soon"
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiting.done()
            end.send(2, b"later")
            later = await waiting
            assert later is not None
            later.release()
            assert later.kind == 2

    run(main())


@memfd_only
def test_the_end_and_a_breach_are_found_outside_of_the_loop_and_told_in_it(run: Any) -> None:
    async def main() -> None:
        async with both("memfd") as pair:
            waiting = asyncio.create_task(pair.link.receive())
            await asyncio.sleep(0)
            pair.child._socket.send(b"no packet")
            assert pair.link.receive_soon(10_000) is None
            assert pair.broken == ["broken"]
            with pytest.raises(PeerBroken):
                await waiting
        async with both("memfd") as pair:
            waiting = asyncio.create_task(pair.link.receive())
            await asyncio.sleep(0)
            pair.child.close()
            assert pair.link.receive_soon(10_000) is None
            assert await waiting is None
            assert pair.link.receive_soon(0) is None

    run(main())


def test_a_link_that_cannot_be_waited_for_outside_of_the_loop_has_nothing_there(run: Any) -> None:
    async def main() -> None:
        async with both("portable") as pair:
            pair.endpoint().send(1, b"by the loop")
            assert pair.link.receive_soon(0) is None
            message = await pair.link.receive()
            assert message is not None
            message.release()

    run(main())


@memfd_only
def test_a_sealed_file_is_sent_as_it_is_and_nobody_can_change_it(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from turnwise.sharedmem import memory_file

    async def main() -> None:
        content = os.urandom(3 * GEOMETRY.slot_bytes + 1)
        sealed = memory_file.SealedFile(content)
        monkeypatch.delattr(memory_file, "of_parts")  # nothing else is made a file of
        async with both("memfd") as pair:
            end = pair.endpoint()
            for _ in range(2):
                assert pair.link.send_nowait(5, memoryview(sealed))
                message = end.receive()
                assert message is not None
                with message:
                    assert bytes(message.body) == content
                    assert message.body.readonly
            assert sealed.fd is not None
            with pytest.raises(PermissionError):
                os.pwrite(sealed.fd, b"x", 0)
            with pytest.raises(AttributeError):  # a part of it, or more than it, is a message like any other
                pair.link.send_nowait(5, memoryview(sealed)[1:])
        sealed.close()
        sealed.close()
        assert sealed.fd is None

    run(main())


@memfd_only
def test_a_sealed_file_that_is_closed_leaves_its_bytes_to_who_has_a_view_and_no_descriptor() -> None:
    from turnwise.sharedmem.memory_file import SealedFile

    before = len(list(Path("/proc/self/fd").iterdir()))
    sealed = SealedFile(b"bytes")
    view = memoryview(sealed)
    sealed.close()
    assert bytes(view) == b"bytes"
    del view, sealed
    forgotten = SealedFile(b"bytes")
    del forgotten
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_two_receivers_are_refused(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            first = asyncio.create_task(pair.link.receive())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="two tasks"):
                await pair.link.receive()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            pair.endpoint().send(1, b"still works")
            message = await pair.link.receive()
            assert message is not None
            message.release()
            assert pair.link.receive_nowait() is None

    run(main())


HOSTILE = [
    packet.pack(packet.MESSAGE, slot=3),
    packet.pack(packet.MESSAGE, slot=255, length=1),
    packet.pack(packet.MESSAGE, length=2**64 - 1),
    packet.pack(packet.RELEASE, released=0b1000),
    packet.pack(packet.RELEASE, released=2**32 - 1),
    packet.pack(packet.RELEASE),
    packet.pack(packet.LONG, length=5000),
    packet.pack(packet.ASK, length=2**64 - 1),
    packet.pack(packet.ASK, length=4096),
    packet.pack(packet.ASK, kind=1, length=5000),
    packet.pack(packet.GRANT, length=5000),
    packet.pack(packet.ARENAS, slot=8, length=4096),
    packet.pack(99),
    b"short",
    bytes(15),
    bytes(17),
    bytes(4000),
]


@memfd_only
@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: data[:16].hex())
def test_a_breach_breaks_the_link_for_all_who_use_it(run: Any, data: bytes) -> None:
    async def main() -> None:
        async with both("memfd") as pair:
            for _ in range(3):
                assert pair.link.send_nowait(0, b"in flight")
            sender = asyncio.create_task(pair.link.send(1, bytes(12_289)))
            pair.child._socket.send(data)
            with pytest.raises(PeerBroken) as caught:
                await pair.link.receive()
            assert caught.value.where == "child"
            with pytest.raises(PeerBroken):
                await sender
            with pytest.raises(PeerBroken):
                await pair.link.send(1, b"more")
            assert pair.broken == ["broken"]

    run(main())


@memfd_only
def test_a_slot_that_is_released_twice_breaks_the_link(run: Any) -> None:
    async def main() -> None:
        async with both("memfd") as pair:
            for _ in range(3):
                assert pair.link.send_nowait(0, b"in flight")
            for _ in range(2):
                pair.child._socket.send(packet.pack(packet.RELEASE, released=0b10))
            with pytest.raises(PeerBroken, match="released memory"):
                await pair.link.receive()
            assert pair.broken == ["broken"]

    run(main())


@memfd_only
def test_a_slot_that_is_sent_twice_breaks_the_link_and_spares_the_message(run: Any) -> None:
    async def main() -> None:
        async with both("memfd") as pair:
            pair.endpoint().send(1, b"good")
            message = await pair.link.receive()
            assert message is not None
            pair.child._socket.send(packet.pack(packet.MESSAGE, slot=0, kind=2, length=4))
            with pytest.raises(PeerBroken, match="not its own"):
                await pair.link.receive()
            assert bytes(message.body) == b"good"
            message.release()

    run(main())


@memfd_only
def test_a_child_that_guesses_releases_and_never_reads_does_not_hang_the_loop(run: Any) -> None:
    """It sends slots again without having been told that it may; our releases pile up until the wire is full."""

    async def main() -> None:
        async with both("memfd") as pair:

            async def consume() -> None:
                while (message := await pair.link.receive()) is not None:
                    message.release()

            consumer = asyncio.create_task(consume())

            def flood() -> None:
                # 64 MiB of packets each way would be needed to fill any buffer: the link must break long before.
                for number in range(4_000_000):
                    pair.child._socket.send(packet.pack(packet.MESSAGE, slot=number % 3, kind=1, length=1))

            flooding = asyncio.create_task(asyncio.to_thread(flood))
            with pytest.raises(PeerBroken):
                await consumer
            pair.child.close()
            with pytest.raises(OSError):  # noqa: PT011 - which one depends on the moment
                await flooding
            assert pair.broken == ["broken"]

    run(main())


@memfd_only
def test_descriptors_and_mappings_are_flat_over_a_thousand_long_messages(run: Any) -> None:
    def open_now() -> set[tuple[str, str]]:
        found = set()
        for link in Path("/proc/self/fd").iterdir():
            try:
                found.add((link.name, str(link.readlink())))
            except FileNotFoundError:  # the listing's own
                continue
        return found

    def mapped_now() -> int:
        gc.collect()
        return Path("/proc/self/maps").read_text().count("memfd:turnwise")

    async def main() -> None:
        async with both("memfd") as pair:
            end = pair.endpoint()

            def echo(count: int) -> None:
                for _ in range(count):
                    message = end.receive()
                    assert message is not None
                    with message:
                        end.send(message.kind, message.body)

            async def rounds(count: int) -> None:
                echoing = asyncio.create_task(asyncio.to_thread(echo, count))
                for number in range(count):
                    data = bytes([number % 256]) * (5000 + number)
                    await pair.link.send(number, data)
                    message = await pair.link.receive()
                    assert message is not None
                    with message:
                        assert (message.kind, message.body) == (number, data)
                await echoing

            await rounds(3)
            before, mapped = open_now(), mapped_now()
            await rounds(1000)
            assert open_now() <= before
            assert mapped_now() <= mapped
            end.close()
        assert not {target for _, target in open_now() - before}

    run(main())
