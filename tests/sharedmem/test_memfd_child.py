"""The child's end of the memfd transport against an orchestrator's end in the same process."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("memfd exists on Linux only", allow_module_level=True)

from turnwise.sharedmem import PeerBroken, packet
from turnwise.sharedmem.memfd import MemfdLoopWire
from turnwise.sharedmem.memfd_child import MemfdBlockingWire
from turnwise.sharedmem.transport import Geometry

GEOMETRY = Geometry(slots=2, slot_bytes=4096)


def test_the_child_gets_both_arenas_before_anything_else(run: Any) -> None:
    async def main() -> None:
        wire = MemfdLoopWire(asyncio.get_running_loop(), GEOMETRY)
        child = MemfdBlockingWire(os.dup(wire.handle))
        assert wire.put(1, [b"out"], 3)
        message = child.take()
        assert message is not None
        with message:
            assert (bytes(message.body), message.body.readonly) == (b"out", True)
        assert not child.poll()
        child.close()
        child.close()
        wire.close()

    run(main())


@pytest.mark.parametrize("data", [b"", b"x", packet.pack(packet.MESSAGE), packet.pack(packet.ARENAS, slot=1)])
def test_a_child_whose_socket_brings_no_arenas_says_so(data: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.send(data)
        with pytest.raises((PeerBroken, EOFError)):
            MemfdBlockingWire(theirs.detach())


@pytest.mark.parametrize("operation", [packet.LONG, packet.GRANT])
def test_a_file_that_does_not_come_is_a_breach(run: Any, operation: int) -> None:
    async def main() -> None:
        wire = MemfdLoopWire(asyncio.get_running_loop(), GEOMETRY)
        child = MemfdBlockingWire(os.dup(wire.handle))
        wire._transmit(packet.pack(operation, length=10_000))
        with pytest.raises(PeerBroken, match="a file was expected"):
            child.take()
        child.close()
        wire.close()

    run(main())


def test_a_grant_that_was_not_asked_for_is_a_breach_and_its_file_is_closed(run: Any) -> None:
    async def main() -> None:
        wire = MemfdLoopWire(asyncio.get_running_loop(), GEOMETRY)
        child = MemfdBlockingWire(os.dup(wire.handle))
        read, write = os.pipe()
        wire._transmit(packet.pack(packet.GRANT, length=10_000), write)
        os.close(write)
        with pytest.raises(PeerBroken, match="means nothing"):
            child.take()
        assert await asyncio.to_thread(os.read, read, 1) == b""
        os.close(read)
        child.close()
        wire.close()

    run(main())


def test_a_long_message_that_is_under_way_cannot_become_another(run: Any) -> None:
    async def main() -> None:
        wire = MemfdLoopWire(asyncio.get_running_loop(), GEOMETRY)
        child = MemfdBlockingWire(os.dup(wire.handle))
        assert not child.put(1, [bytes(5000)], 5000)
        assert not child.put(1, [bytes(5000)], 5000)  # asked for once, and not granted yet
        wire._grant(0, 5000)
        assert child.take() is None
        with pytest.raises(ValueError, match="under way"):
            child.put(1, [bytes(6000)], 6000)
        child.close()
        wire.close()

    run(main())
