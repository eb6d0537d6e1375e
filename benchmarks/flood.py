"""Many pages that listen to a monitor at once: a process of its own, so that what is measured does not share it.

python flood.py ADDRESS RUN STREAMS    listens until its input ends, and prints what came as a JSON line

Each stream is a connection that asks for what the run tells live, as a page does. Half a second after all of them have
an answer it prints `ready`, and begins to count.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import sys
import time
from urllib.parse import urlsplit

READ_BYTES = 1 << 20
WARM_SECONDS = 0.5
SPARE_FILES = 100
EVENT = b"data: "


def streams(address: str, run: str, count: int) -> list[socket.socket]:
    """Open connections that have asked, and whose answers have begun."""
    parts = urlsplit(address)
    port = int(parts.port or 0)
    cookie = f"turnwise-monitor-{port}={parts.query.partition('=')[2]}"
    asked = f"GET /api/live?run={run} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n".encode()
    found = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port), timeout=60)
        one.sendall(asked)
        found.append(one)
    for one in found:
        begun = one.recv(READ_BYTES)
        if not begun.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the monitor refuses: {begun[:200]!r}")
        one.setblocking(False)
    return found


def counted(found: list[socket.socket]) -> tuple[int, float]:
    """Events that came until the input has ended, and the seconds in which they came."""
    waiting = select.epoll()
    by_number = {one.fileno(): one for one in found}
    for number in by_number:
        waiting.register(number, select.EPOLLIN)
    waiting.register(sys.stdin.fileno(), select.EPOLLIN)
    tails = dict.fromkeys(by_number, b"")
    events, begun, ready = 0, time.monotonic() + WARM_SECONDS, False
    while True:
        for number, _ in waiting.poll(WARM_SECONDS):
            if not ready and time.monotonic() >= begun:
                ready, events, begun = True, 0, time.monotonic()
                print("ready", flush=True)
            if number == sys.stdin.fileno():
                return events, time.monotonic() - begun
            got = by_number[number].recv(READ_BYTES)
            if not got:
                waiting.unregister(number)
                continue
            seen = tails[number] + got
            events += seen.count(EVENT)
            tails[number] = seen[-(len(EVENT) - 1) :]


def main() -> int:
    address, run, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, count + SPARE_FILES), most))
    events, seconds = counted(streams(address, run, count))
    print(json.dumps({"events": events, "seconds": seconds}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
