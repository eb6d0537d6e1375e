"""The seals, and what each side can do to the other's memory."""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

if sys.platform != "linux":
    pytest.skip("memfd exists on Linux only", allow_module_level=True)

from turnwise.sharedmem import PeerBroken, descriptor, memfd
from turnwise.sharedmem.transport import MIB, Geometry

GEOMETRY = Geometry(slots=2, slot_bytes=MIB, message_bytes_max=4 * MIB)


@pytest.fixture
def fd() -> Iterator[int]:
    fd = memfd.create_memfd(GEOMETRY)
    yield fd
    os.close(fd)


def open_descriptors() -> set[str]:
    return {link.name for link in Path("/proc/self/fd").iterdir()}


def test_a_sealed_arena_can_be_read_but_not_written_by_whoever_gets_it(fd: int) -> None:
    owner = memfd.map_arena(fd, GEOMETRY, writable=True)
    memfd.seal(fd, future_write=True)
    reader = memfd.map_arena(fd, GEOMETRY, writable=False)
    owner.view[:5] = b"hello"
    assert bytes(reader.view[:5]) == b"hello"
    assert reader.view.readonly
    with pytest.raises(PermissionError):
        memfd.map_arena(fd, GEOMETRY, writable=True)
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    with pytest.raises(PermissionError):
        mmap.mmap(again, GEOMETRY.arena_bytes)
    os.close(again)
    owner.close()
    reader.close()


def test_the_child_s_arena_keeps_its_size_and_takes_no_further_seal(fd: int) -> None:
    import fcntl

    memfd.seal(fd, future_write=False)
    for size in (0, GEOMETRY.arena_bytes * 2):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_a_punched_slot_takes_no_memory_and_reads_as_zeros(fd: int) -> None:
    arena = memfd.map_arena(fd, GEOMETRY, writable=True)
    arena.view[: 2 * MIB] = b"\xff" * (2 * MIB)
    assert os.fstat(fd).st_blocks * 512 == 2 * MIB
    memfd.punch_hole(fd, 0, MIB)
    assert os.fstat(fd).st_blocks * 512 == MIB
    assert arena.view[MIB - 1] == 0
    assert arena.view[MIB] == 0xFF
    arena.close()


def test_close_waits_for_nobody_who_kept_a_slice_and_breaks_nothing_for_them(fd: int) -> None:
    arena = memfd.map_arena(fd, GEOMETRY, writable=True)
    arena.view[:5] = b"hello"
    kept = arena.view[:5]
    array = np.asarray(arena.view)
    arena.close()
    arena.close()
    assert bytes(kept) == b"hello"
    assert array[4] == ord("o")


def test_the_child_gets_both_arenas_before_anything_else() -> None:
    async def main() -> None:
        wire = memfd.MemfdLoopWire(asyncio.get_running_loop(), GEOMETRY, GEOMETRY)
        child = memfd.MemfdBlockingWire(os.dup(wire.handle))
        wire.outgoing.view[:3] = b"out"
        assert bytes(child.incoming.view[:3]) == b"out"
        assert child.incoming.view.readonly
        child.outgoing.view[:2] = b"in"
        assert bytes(wire.incoming.view[:2]) == b"in"
        assert wire.incoming.view.readonly
        assert child.incoming.geometry == GEOMETRY
        child.close()
        wire.close()
        wire.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "packet", [b"", b"x", descriptor.pack(descriptor.MESSAGE), descriptor.pack(descriptor.ARENA, slot=1)]
)
def test_a_child_whose_socket_brings_no_arena_says_so(packet: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.send(packet)
        with pytest.raises((PeerBroken, EOFError)):
            memfd.MemfdBlockingWire(theirs.detach())


def test_a_wire_that_cannot_be_made_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, *, future_write: bool) -> None:
        if not future_write:
            raise OSError("no")
        original(fd, future_write=future_write)

    original = memfd.seal

    async def main() -> None:
        before = open_descriptors()
        with monkeypatch.context() as patch:
            patch.setattr(memfd, "seal", refuse)
            with pytest.raises(OSError, match="no"):
                memfd.MemfdLoopWire(asyncio.get_running_loop(), GEOMETRY, GEOMETRY)
        assert open_descriptors() == before

    asyncio.run(main())
