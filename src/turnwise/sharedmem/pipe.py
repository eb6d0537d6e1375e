"""The transport for every system: messages as frames of a `multiprocessing.connection` pipe.

A frame is the body of a message and then two bytes, its kind: so the body lies where an array may lie over it. An
empty frame says goodbye, since not every such pipe can be half closed. The child inherits its end, so nothing listens
anywhere and no key is needed.

Such a pipe cannot be waited for by every event loop, so two threads a peer read and write it: the reader hands messages
to the loop, the writer keeps a child that does not read from blocking the loop.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Sequence
from multiprocessing import Pipe
from typing import TYPE_CHECKING, Final, Protocol

from turnwise.errors import EnvironmentFailure
from turnwise.sharedmem.errors import NoMemory, PeerBroken, PeerGone
from turnwise.sharedmem.message import LinkMessage
from turnwise.sharedmem.parts import Flat
from turnwise.sharedmem.transport import MESSAGES_AHEAD_MAX
from turnwise.sharedmem.wire import Receiver

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

KIND_BYTES: Final = 2
GOODBYE: Final = b""
JOIN_S_MAX: Final = 1.0


class PipeEnd(Protocol):
    """The part that `Connection` and, on Windows, `PipeConnection` share."""

    def fileno(self) -> int: ...
    def send_bytes(self, buf: bytes, /) -> None: ...
    def recv_bytes(self) -> bytes: ...
    def poll(self, timeout: float, /) -> bool: ...
    def close(self) -> None: ...


class _Ahead:
    """The keeper of all messages of a pipe: it lets no more be read than may be unreleased."""

    def __init__(self) -> None:
        self._room = threading.Semaphore(MESSAGES_AHEAD_MAX)

    def wait(self) -> None:
        self._room.acquire()

    def release(self, slot: int) -> None:
        """A message was released."""
        self._room.release()

    def open(self) -> None:
        """Stop counting: the reader may go on to the end."""
        self._room.release(MESSAGES_AHEAD_MAX)


class PipeLoopWire:
    """The orchestrator's end."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        ours, theirs = Pipe(duplex=True)
        self._connection: PipeEnd = ours
        self._child: PipeEnd | None = theirs
        self._unsent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._ahead = _Ahead()
        self._behind = threading.Semaphore(MESSAGES_AHEAD_MAX)
        self._receiver: Receiver | None = None
        self._refused = False
        self._closed = False
        self._reader = threading.Thread(target=self._read, name="turnwise-read", daemon=True)
        self._writer = threading.Thread(target=self._write, name="turnwise-write", daemon=True)

    @property
    def handle(self) -> int:
        """The file descriptor, on Windows the handle, that the child inherits."""
        if self._child is None:
            raise ValueError("the child has been started")
        return self._child.fileno()

    def child_started(self) -> None:
        """Close our copy of the child's end."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def start(self, receiver: Receiver) -> None:
        """Begin to receive."""
        self._receiver = receiver
        self._writer.start()  # first, since the reader waits for its end
        self._reader.start()

    # -- sending -----------------------------------------------------------------------------------------------------

    def put(self, kind: int, parts: Sequence[Flat], length: int) -> bool:
        """Hand a message to the writer."""
        self._refused = True  # before there is found to be no room: the writer may make some at any moment
        if not self._behind.acquire(blocking=False):
            return False
        self._refused = False
        try:
            frame = b"".join((*parts, kind.to_bytes(KIND_BYTES, "little")))
        except MemoryError as error:
            self._behind.release()
            raise NoMemory(length, error) from error
        self._unsent.put(frame)
        return True

    def _write(self) -> None:
        try:
            while (frame := self._unsent.get()) is not None:
                self._connection.send_bytes(frame)
                self._behind.release()
                if self._refused and not self._in_loop(self._room):
                    return
        except OSError:
            pass  # the child is gone, which the reader sees as well

    def _room(self) -> None:
        if self._receiver is not None and self._refused:
            self._refused = False
            self._receiver.on_room()

    # -- receiving ---------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        while True:
            self._ahead.wait()
            frame: bytes | EnvironmentFailure = GOODBYE
            try:
                frame = self._connection.recv_bytes()
                if len(frame) == 1:
                    frame = PeerBroken("the peer sent a frame without a kind", actual=frame.hex())
            except (EOFError, OSError):
                pass  # also in the middle of a frame: the child has died
            except MemoryError as error:
                frame = NoMemory(0, error)
            if not self._in_loop(self._take, frame) or isinstance(frame, EnvironmentFailure) or not frame:
                break
        self._unsent.put(None)
        self._writer.join()
        self._connection.close()

    def _take(self, frame: bytes | EnvironmentFailure) -> None:
        """A frame came; in the loop."""
        receiver = self._receiver
        if receiver is None:
            self._ahead.release(0)
        elif isinstance(frame, EnvironmentFailure):
            self.close()
            receiver.on_broken(frame)
        elif not frame:
            receiver.on_end()
        else:
            kind = int.from_bytes(frame[-KIND_BYTES:], "little")
            receiver.on_message(LinkMessage(kind, memoryview(frame)[:-KIND_BYTES], self._ahead, 0))

    def _in_loop(self, function: object, *arguments: object) -> bool:
        """Call a function in the loop; False if the loop has been closed."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)  # type: ignore[arg-type]
        except RuntimeError:
            return False
        return True

    # -- the end -----------------------------------------------------------------------------------------------------

    def wait(self, wait_ms: int) -> None:
        """Return at once: what comes is read by a thread, which tells the loop of it."""

    def close(self) -> None:
        """Close; messages that are held stay valid until released."""
        if self._closed:
            return
        self._closed = True
        self.child_started()
        self._receiver = None
        if self._reader.ident is None:
            self._connection.close()
            return
        # No other thread may close the pipe while the reader is in it: say goodbye, and the child closes its end.
        self._ahead.open()
        self._unsent.put(GOODBYE)
        self._unsent.put(None)

    def join(self) -> None:
        """Wait for the threads, which end with the child."""
        for thread in (self._reader, self._writer):
            if thread.ident is not None:
                thread.join(JOIN_S_MAX)


class _NoKeeper:
    """The keeper of messages that nobody counts."""

    def release(self, slot: int) -> None:
        """Memory that is Python's goes by itself."""


class PipeBlockingWire:
    """The child's end. `handle` is the end of the pipe that it has inherited."""

    def __init__(self, handle: int) -> None:
        self._connection = _connection(handle)
        self._keeper = _NoKeeper()

    def put(self, kind: int, parts: Sequence[Flat], length: int) -> bool:
        """Send a message, however long it takes the orchestrator to read it."""
        try:
            self._connection.send_bytes(b"".join((*parts, kind.to_bytes(KIND_BYTES, "little"))))
        except OSError as error:
            raise PeerGone("the orchestrator is gone") from error
        return True

    def take(self) -> LinkMessage | None:
        """Wait for a message."""
        try:
            frame = self._connection.recv_bytes()
        except OSError:
            frame = GOODBYE
        if not frame:
            raise EOFError("the orchestrator is gone")
        kind = int.from_bytes(frame[-KIND_BYTES:], "little")
        return LinkMessage(kind, memoryview(frame)[:-KIND_BYTES], self._keeper, 0)

    def poll(self) -> bool:
        """Tell whether a frame is there, or the end."""
        try:
            return self._connection.poll(0)
        except (EOFError, OSError):  # Windows says so when the other end is gone
            return True

    def close(self) -> None:
        """Close the pipe."""
        self._connection.close()


def _connection(handle: int) -> PipeEnd:
    """Return the pipe end that we have inherited."""
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection

        os.set_handle_inheritable(handle, False)
        return PipeConnection(handle)
    from multiprocessing.connection import Connection

    os.set_inheritable(handle, False)
    return Connection(handle)
