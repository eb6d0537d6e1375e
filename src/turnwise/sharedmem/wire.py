"""What a transport offers to the two ends: packets in order, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from turnwise.sharedmem.arena import Arena


class BlockingWire(Protocol):
    """The child's side. Errors of the system are OSError."""

    def send(self, packet: bytes) -> None: ...

    def receive(self) -> bytes:
        """The next packet; empty at end of file."""
        ...

    def poll(self) -> bool:
        """Whether `receive` would not wait."""
        ...

    def receive_arena(self, announcement: bytes) -> Arena:
        """The arena that an ARENA packet announced: the child's incoming one."""
        ...

    def close(self) -> None: ...


class LoopWire(Protocol):
    """The orchestrator's side, in the event loop. `send` never blocks: OSError if the packet cannot go now."""

    outgoing: Arena
    incoming: Arena

    @property
    def handle(self) -> int:
        """What the child inherits: a file descriptor, on Windows a handle."""
        ...

    def child_started(self) -> None:
        """The child has inherited its end: close ours of it."""
        ...

    def start(self, on_packet: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        """Call `on_packet` in the loop for each packet, then `on_end` once, unless closed before."""
        ...

    def send(self, packet: bytes) -> None: ...

    def send_new_arena(self) -> Arena:
        """Make an arena in place of the outgoing one, and send it. OSError: there is none, the old one stays."""
        ...

    def on_attached(self) -> None:
        """The child has mapped both arenas."""
        ...

    def close(self) -> None: ...

    def join(self) -> None:
        """Wait for what still runs after `close`, once the child is dead."""
        ...
