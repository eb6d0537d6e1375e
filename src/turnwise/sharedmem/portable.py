"""The transport for every system: `multiprocessing.shared_memory`, and a `multiprocessing.connection` pipe for packets.

The child inherits its end of the pipe, so nothing listens anywhere and no key is needed. Segments have names, as the
module wants it; they are told through the pipe and unlinked as soon as the child has mapped them (on Windows a segment
goes with its last handle). Until then the resource tracker of the orchestrator's process would unlink them.

Such a pipe cannot be waited for by every event loop, so two threads a peer read and write it: the reader hands packets
to the loop, the writer keeps a child that does not read from blocking the loop.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing import Pipe, resource_tracker
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Final, Protocol

from turnwise.errors import InvariantError
from turnwise.sharedmem import descriptor
from turnwise.sharedmem.arena import Arena, pack_geometry, unpack_geometry
from turnwise.sharedmem.errors import PeerBroken
from turnwise.sharedmem.transport import SLOTS_MAX, Geometry

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

PACKETS_AHEAD_MAX: Final = 64
"""Packets that the reader thread may have read and the loop not yet taken."""
PACKETS_UNSENT_MAX: Final = 4 * SLOTS_MAX
"""More packets than this wait for the writer thread only if the child does not read."""
NAME_BYTES_MAX: Final = 255
JOIN_S_MAX: Final = 1.0


class PipeEnd(Protocol):
    """What `Connection` and, on Windows, `PipeConnection` share."""

    def fileno(self) -> int: ...
    def send_bytes(self, buf: bytes, /) -> None: ...
    def recv_bytes(self, maxlength: int, /) -> bytes: ...
    def poll(self, timeout: float, /) -> bool: ...
    def close(self) -> None: ...


def create_segment(geometry: Geometry) -> SharedMemory:
    """A new segment, whose name only its owner's user can open."""
    return SharedMemory(create=True, size=geometry.arena_bytes)


def attach_segment(name: str) -> SharedMemory:
    """Map a segment that the orchestrator owns, without telling a resource tracker, which would unlink it with us."""
    if sys.version_info >= (3, 13):
        return SharedMemory(name, track=False)
    # Before Python 3.13 attaching registers the segment as if it were ours. We are still single-threaded here.
    register = resource_tracker.register
    resource_tracker.register = _register_nothing  # type: ignore[assignment]
    try:
        return SharedMemory(name)
    finally:
        resource_tracker.register = register


def _register_nothing(name: str, rtype: str) -> None:
    pass


def segment_arena(segment: SharedMemory, geometry: Geometry, *, writable: bool) -> Arena:
    """The arena in a segment (which may be longer: whole pages)."""
    if segment.size < geometry.arena_bytes:
        raise PeerBroken("a segment is shorter than announced", expected=geometry.arena_bytes, actual=segment.size)
    assert segment.buf is not None
    view = segment.buf[: geometry.arena_bytes]
    return Arena(view if writable else view.toreadonly(), geometry, partial(_close, segment))


def _close(segment: SharedMemory) -> None:
    try:
        segment.close()
    except BufferError:
        # Somebody kept a slice of a message beyond its release: the mapping must live as long as the process.
        _kept.append(segment)


_kept: list[SharedMemory] = []


class PortableLoopWire:
    """The orchestrator's end."""

    def __init__(self, loop: AbstractEventLoop, outgoing: Geometry, incoming: Geometry) -> None:
        self._loop = loop
        self._segments: list[SharedMemory] = []
        ours, theirs = Pipe(duplex=True)
        self._connection: PipeEnd = ours
        self._child: PipeEnd | None = theirs
        self._unsent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._ahead = threading.Semaphore(PACKETS_AHEAD_MAX)
        self._on_packet: Callable[[bytes], None] | None = None
        self._on_end: Callable[[], None] | None = None
        self._closed = False
        self._reader = threading.Thread(target=self._read, name="turnwise-read", daemon=True)
        self._writer = threading.Thread(target=self._write, name="turnwise-write", daemon=True)
        try:
            with contextlib.ExitStack() as undo:
                self.outgoing = undo.enter_context(contextlib.closing(self._make_arena(outgoing, writable=True)))
                self.incoming = self._make_arena(incoming, writable=False)
                undo.pop_all()
        except BaseException:
            self.close()
            raise

    def _make_arena(self, geometry: Geometry, *, writable: bool) -> Arena:
        segment = create_segment(geometry)
        self._segments.append(segment)
        self._unsent.put(pack_geometry(geometry))
        self._unsent.put(segment.name.encode())
        return segment_arena(segment, geometry, writable=writable)

    @property
    def handle(self) -> int:
        """What the child inherits: a file descriptor, on Windows a handle."""
        assert self._child is not None
        return self._child.fileno()

    def child_started(self) -> None:
        """The child has its end: close ours of it, so that its death is an end of file."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def start(self, on_packet: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._on_packet = on_packet
        self._on_end = on_end
        self._writer.start()  # first, since the reader waits for its end
        self._reader.start()

    def _read(self) -> None:
        while True:
            self._ahead.acquire()
            try:
                packet = self._connection.recv_bytes(descriptor.BYTES)
            except EOFError:
                packet = b""
            except OSError as error:
                # A packet that is too long is an OSError without a number, and must not look like a peaceful end.
                packet = b"" if error.errno is not None else b"too long"
            try:
                self._loop.call_soon_threadsafe(self._take, packet)
            except RuntimeError:  # the loop has been closed
                break
            if packet in (b"", b"too long"):
                break
        self._unsent.put(None)
        self._writer.join()
        self._connection.close()

    def _take(self, packet: bytes) -> None:
        """In the loop."""
        self._ahead.release()
        if self._on_packet is None or self._on_end is None:
            return
        if packet:
            self._on_packet(packet)
        else:
            self._on_end()

    def _write(self) -> None:
        try:
            while (packet := self._unsent.get()) is not None:
                self._connection.send_bytes(packet)
        except OSError:
            pass  # the child is gone, which the reader sees as well

    def send(self, packet: bytes) -> None:
        if self._unsent.qsize() >= PACKETS_UNSENT_MAX:
            raise BlockingIOError
        self._unsent.put(packet)

    def send_new_arena(self) -> Arena:
        raise InvariantError("arenas of the portable transport are small, and never replaced")

    def on_attached(self) -> None:
        """The names have served: from here on nothing can be left over."""
        for segment in self._segments:
            segment.unlink()
        self._segments.clear()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.child_started()
        self.on_attached()
        self._on_packet = self._on_end = None
        if self._reader.ident is None:
            self._connection.close()
            return
        # No other thread may close the pipe while the reader is in it: say goodbye, and the child closes its end.
        self._unsent.put(descriptor.pack(descriptor.BYE))
        self._unsent.put(None)

    def join(self) -> None:
        """Wait for the threads, which end with the child."""
        for thread in (self._reader, self._writer):
            if thread.ident is not None:
                thread.join(JOIN_S_MAX)


class PortableBlockingWire:
    """The child's end."""

    def __init__(self, handle: int) -> None:
        self._connection = _connection(handle)
        self.incoming = self._receive_arena(writable=False)
        self.outgoing = self._receive_arena(writable=True)
        self.send(descriptor.pack(descriptor.ATTACHED))

    def send(self, packet: bytes) -> None:
        self._connection.send_bytes(packet)

    def receive(self) -> bytes:
        try:
            return self._connection.recv_bytes(descriptor.BYTES)
        except (EOFError, ConnectionResetError):
            return b""

    def poll(self) -> bool:
        try:
            return self._connection.poll(0)
        except (EOFError, OSError):  # Windows says so when the other end is gone
            return True

    def receive_arena(self, announcement: bytes) -> Arena:
        raise PeerBroken("arenas of the portable transport are not replaced", actual=announcement.hex())

    def _receive_arena(self, *, writable: bool) -> Arena:
        geometry = unpack_geometry(self._connection.recv_bytes(descriptor.BYTES))
        name = self._connection.recv_bytes(NAME_BYTES_MAX).decode()
        return segment_arena(attach_segment(name), geometry, writable=writable)

    def close(self) -> None:
        self._connection.close()


def _connection(handle: int) -> PipeEnd:
    """The pipe end that we have inherited."""
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection

        os.set_handle_inheritable(handle, False)
        return PipeConnection(handle)
    from multiprocessing.connection import Connection

    os.set_inheritable(handle, False)
    return Connection(handle)
