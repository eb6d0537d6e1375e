"""The interface between a transport and the two ends: whole messages, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from turnwise.errors import EnvironmentFailure
from turnwise.sharedmem.message import LinkMessage
from turnwise.sharedmem.parts import Flat


class BlockingWire(Protocol):
    """The child's side, for one thread. Once the orchestrator is gone, `put` raises PeerGone and `take` EOFError."""

    def put(self, kind: int, parts: Sequence[Flat], length: int) -> bool:
        """Send a message. False: it was not sent, and the same message may be when `take` has taken a packet in."""
        ...

    def take(self) -> LinkMessage | None:
        """Wait for one packet, and take it in: the message that it brought, if it brought one."""
        ...

    def poll(self) -> bool:
        """Tell whether `take` would return without waiting."""
        ...

    def close(self) -> None:
        """Close; the orchestrator sees end of file. Twice is harmless."""
        ...


class Receiver(Protocol):
    """The owner of a `LoopWire`, which is told in the event loop what comes."""

    def on_message(self, message: LinkMessage) -> None:
        """Take a message that came."""
        ...

    def on_room(self) -> None:
        """Take note that a message which `put` refused may now be sent."""
        ...

    def on_end(self) -> None:
        """Take note of the end of file: the child has closed, or died."""
        ...

    def on_broken(self, error: EnvironmentFailure) -> None:
        """Take note that the link cannot go on: the child broke the rules (PeerBroken), or memory lacks (NoMemory)."""
        ...


class LoopWire(Protocol):
    """The orchestrator's side, in the event loop. Nothing blocks."""

    @property
    def handle(self) -> int:
        """A file descriptor, on Windows a handle, for the child to inherit."""
        ...

    def child_started(self) -> None:
        """Close our copy of the child's end, which it has inherited, so that its death is an end of file."""
        ...

    def start(self, receiver: Receiver) -> None:
        """Begin to receive."""
        ...

    def put(self, kind: int, parts: Sequence[Flat], length: int) -> bool:
        """Send a message. False: there is no room now, and `on_room` will say when there is.

        PeerGone, PeerBroken (of which `on_broken` is told as well): it will never be sent. NoMemory: it was not sent.
        """
        ...

    def wait(self, wait_ms: int) -> None:
        """Wait outside of the event loop until something comes, but not for longer, and tell the receiver of it.

        A transport that cannot wait so returns at once.
        """
        ...

    def close(self) -> None:
        """Close; the receiver is told nothing more. Twice is harmless."""
        ...

    def join(self) -> None:
        """Wait for threads that outlive `close`, once the child is dead."""
        ...
