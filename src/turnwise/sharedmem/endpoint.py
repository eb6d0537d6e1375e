"""The child's end: blocking, for one thread."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

from turnwise.sharedmem import descriptor
from turnwise.sharedmem.arena import Arena
from turnwise.sharedmem.errors import PeerGone
from turnwise.sharedmem.exchange import Exchange
from turnwise.sharedmem.message import Message
from turnwise.sharedmem.outgoing import Rest, measure
from turnwise.sharedmem.wire import BlockingWire

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Endpoint:
    """Messages to and from the orchestrator. A context manager."""

    def __init__(self, wire: BlockingWire, *, outgoing: Arena, incoming: Arena) -> None:
        self._wire = wire
        self._exchange = Exchange(outgoing, incoming, self._tell)
        self._outgoing = self._exchange.outgoing
        self._inbox: deque[Message] = deque()
        self._ended = False

    def send(self, kind: int, *parts: Buffer) -> None:
        """Send the parts as one message. Blocks until there is a slot; the parts can be reused afterwards.

        PeerGone: the orchestrator is gone. MessageTooLarge: nothing was sent.
        """
        flat, length = measure(parts)
        self._outgoing.check(kind, length)
        if not self._outgoing.free:
            self._wait_for_slot()
        slot = self._outgoing.place(length)
        if slot is not None:
            self._transmit(self._exchange.message_packet(slot, kind, flat, length))
            return
        rest = Rest(flat, length)
        while rest.length:
            if not self._outgoing.free:
                self._wait_for_slot()
            self._transmit(self._exchange.chunk_packet(kind, rest))

    def receive(self) -> Message | None:
        """The next message, to be released when it has been read. None: the orchestrator is gone."""
        if self._inbox:
            return self._inbox.popleft()
        while not self._ended:
            message = self._step()
            if message is not None:
                return message
        return None

    def poll(self) -> bool:
        """Whether `receive` would return at once, with a message or with None. Takes in what is there; never waits."""
        while not self._inbox and not self._ended and self._wire.poll():
            message = self._step()
            if message is not None:
                self._inbox.append(message)
        return bool(self._inbox) or self._ended

    def _step(self) -> Message | None:
        """Take one packet in."""
        packet = self._wire.receive()
        if not packet:
            self._ended = True
            return None
        if packet[0] == descriptor.ARENA:
            arena = self._wire.receive_arena(packet)
            old = self._exchange.incoming.arena
            self._exchange.incoming.replace(arena)
            old.close()
            return None
        message = self._exchange.feed(packet)
        if self._exchange.closed_by_peer:
            self._ended = True
        return message

    def _wait_for_slot(self) -> None:
        while not self._outgoing.free:
            if self._ended:
                raise PeerGone("the orchestrator is gone")
            message = self._step()
            if message is not None:
                self._inbox.append(message)

    def _transmit(self, packet: bytes) -> None:
        if self._ended:
            raise PeerGone("the orchestrator is gone")
        try:
            self._wire.send(packet)
        except OSError as error:
            raise PeerGone("the orchestrator is gone") from error

    def _tell(self) -> None:
        """Give slots back now. That the orchestrator is gone is for `receive` and `send` to say."""
        packet = self._exchange.release_packet()
        if packet is not None and not self._ended:
            try:
                self._wire.send(packet)
            except OSError:
                self._ended = True

    def close(self) -> None:
        """Close the link; the orchestrator sees end of file. Twice is harmless."""
        self._ended = True
        while self._inbox:
            self._inbox.popleft().release()
        self._wire.close()
        self._exchange.close()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
