"""Segments and pipe of the portable transport."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from multiprocessing.shared_memory import SharedMemory

import pytest

from turnwise.sharedmem import PeerBroken, descriptor, portable
from turnwise.sharedmem.transport import Geometry

GEOMETRY = Geometry(slots=2, slot_bytes=4096)


def test_attaching_does_not_make_the_segment_ours(child_path: str) -> None:
    """A resource tracker of the attaching process would unlink the segment when that process ends."""
    segment = portable.create_segment(GEOMETRY)
    try:
        program = (
            "import sys; from turnwise.sharedmem.portable import attach_segment\n"
            "segment = attach_segment(sys.argv[1]); segment.buf[0] = 7; segment.close()"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, segment.name],
            env={**os.environ, "PYTHONPATH": child_path},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        assert segment.buf is not None
        assert segment.buf[0] == 7
        SharedMemory(segment.name, create=False).close()  # it is still there
    finally:
        segment.close()
        segment.unlink()


def test_a_segment_shorter_than_announced_is_refused() -> None:
    segment = portable.create_segment(GEOMETRY)
    try:
        with pytest.raises(PeerBroken, match="shorter"):
            portable.segment_arena(segment, Geometry(slots=2, slot_bytes=1 << 20), writable=False)
    finally:
        segment.close()
        segment.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="pipe ends have no file descriptor there")
def test_the_names_go_when_the_child_has_attached() -> None:
    async def main() -> None:
        wire = portable.PortableLoopWire(asyncio.get_running_loop(), GEOMETRY, GEOMETRY)
        packets: asyncio.Queue[bytes] = asyncio.Queue()
        ended = asyncio.Event()
        wire.start(packets.put_nowait, ended.set)
        names = [segment.name for segment in wire._segments]
        child = await asyncio.to_thread(portable.PortableBlockingWire, os.dup(wire.handle))
        wire.child_started()
        assert (await packets.get())[0] == descriptor.ATTACHED
        wire.on_attached()
        wire.on_attached()
        for name in names:
            with pytest.raises(FileNotFoundError):
                portable.attach_segment(name)
        wire.outgoing.view[:3] = b"out"
        assert bytes(child.incoming.view[:3]) == b"out"
        assert child.incoming.view.readonly
        assert wire.incoming.view.readonly
        child.close()
        await ended.wait()
        wire.close()
        wire.join()
        child.incoming.close()
        child.outgoing.close()
        wire.incoming.close()
        wire.outgoing.close()

    asyncio.run(main())


def test_a_wire_that_is_closed_unused_leaves_no_name() -> None:
    async def main() -> None:
        wire = portable.PortableLoopWire(asyncio.get_running_loop(), GEOMETRY, GEOMETRY)
        names = [segment.name for segment in wire._segments]
        assert len(names) == 2
        wire.close()
        wire.close()
        wire.outgoing.close()
        wire.incoming.close()
        for name in names:
            with pytest.raises(FileNotFoundError):
                portable.attach_segment(name)

    asyncio.run(main())
