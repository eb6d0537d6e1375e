"""The child's end: blocking, for one thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from turnwise.sharedmem.errors import PeerGone
from turnwise.sharedmem.message import LinkMessage
from turnwise.sharedmem.packet import KIND_MAX
from turnwise.sharedmem.parts import Flat, measure
from turnwise.sharedmem.wire import BlockingWire

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Endpoint:
    """Messages to and from the orchestrator. A context manager, of a child's whole life.

    An error that leaves it does not close the link: the orchestrator would see the end of file, and kill the child,
    before it has written what the error is. The kernel closes the link when the child has ended.
    """

    def __init__(self, wire: BlockingWire) -> None:
        self._wire = wire
        self._inbox: deque[LinkMessage] = deque()
        self._ended = False

    def send(self, kind: int, *parts: Buffer) -> None:
        """Send the parts as one message. Blocks until there is room; the parts can be reused afterwards.

        PeerGone: the orchestrator is gone.
        """
        flat, length = measure(parts)
        check_kind(kind)
        while not self._put(kind, flat, length):
            message = self._take()
            if message is not None:
                self._inbox.append(message)

    def receive(self) -> LinkMessage | None:
        """Return the next message, to be released when it has been read. None: the orchestrator is gone."""
        if self._inbox:
            return self._inbox.popleft()
        while not self._ended:
            message = self._take()
            if message is not None:
                return message
        return None

    def poll(self) -> bool:
        """Tell whether `receive` would return at once, with a message or None. Takes in what is there; never waits."""
        while not self._inbox and not self._ended and self._wire.poll():
            message = self._take()
            if message is not None:
                self._inbox.append(message)
        return bool(self._inbox) or self._ended

    def _put(self, kind: int, flat: Sequence[Flat], length: int) -> bool:
        if self._ended:
            raise PeerGone("the orchestrator is gone")
        return self._wire.put(kind, flat, length)

    def _take(self) -> LinkMessage | None:
        try:
            return self._wire.take()
        except EOFError:
            self._ended = True
            return None

    def close(self) -> None:
        """Close the link; the orchestrator sees end of file. Twice is harmless."""
        self._ended = True
        self._wire.close()
        while self._inbox:
            self._inbox.popleft().release()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()


def check_kind(kind: int) -> None:
    """Raise ValueError for a kind that a packet cannot say."""
    if not 0 <= kind <= KIND_MAX:
        raise ValueError(f"the kind of a message must be 0 to {KIND_MAX}, not {kind}")
