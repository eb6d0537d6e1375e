"""Both halves of one side: what packets mean, without any IO, so that it is tested without a process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from turnwise.sharedmem import descriptor
from turnwise.sharedmem.arena import Arena
from turnwise.sharedmem.errors import PeerBroken
from turnwise.sharedmem.incoming import Incoming
from turnwise.sharedmem.message import Message
from turnwise.sharedmem.outgoing import Flat, Outgoing, Rest

_unpack = descriptor.FORMAT.unpack


class Exchange:
    """The state of one side. `tell` is called when a RELEASE packet (`release_packet`) should go now."""

    __slots__ = ("attached", "closed_by_peer", "incoming", "outgoing")

    def __init__(self, outgoing: Arena, incoming: Arena, tell: Callable[[], None]) -> None:
        self.outgoing = Outgoing(outgoing)
        self.incoming = Incoming(incoming, tell)
        self.attached = False
        self.closed_by_peer = False

    def feed(self, packet: bytes) -> Message | None:
        """Take a packet in. The message that it completed, if it did. Whatever the rules do not allow: PeerBroken."""
        if len(packet) != descriptor.BYTES:
            raise PeerBroken("the peer sent a packet of the wrong size", expected=descriptor.BYTES, actual=len(packet))
        operation, slot, kind, length, remaining, released = _unpack(packet)
        if released:
            self.outgoing.give_back(released)
        if operation == descriptor.MESSAGE:
            return self.incoming.accept(slot, kind, length, remaining)
        if slot or kind or length or remaining:
            raise PeerBroken("the peer sent a descriptor with unused fields set", actual=packet.hex())
        if operation == descriptor.RELEASE and released:
            return None
        if operation == descriptor.DISCARD:
            self.incoming.discard()
        elif operation == descriptor.ATTACHED and not self.attached:
            self.attached = True
        elif operation == descriptor.BYE:
            self.closed_by_peer = True
        else:
            raise PeerBroken("the peer sent a descriptor that means nothing here", actual=packet.hex())
        return None

    def message_packet(self, slot: int, kind: int, parts: Sequence[Flat], length: int) -> bytes:
        """Write a message into free slots, the first of which is `slot`."""
        return self.outgoing.write(slot, kind, parts, length, self.incoming.take_due())

    def chunk_packet(self, kind: int, rest: Rest) -> bytes:
        """Write the next chunk of a message for which there is no place in one piece; a slot must be free."""
        return self.outgoing.write_chunk(kind, rest, self.incoming.take_due())

    def discard_packet(self) -> bytes:
        """The message of which chunks were sent will not be finished."""
        return descriptor.pack(descriptor.DISCARD, released=self.incoming.take_due())

    def release_packet(self) -> bytes | None:
        """Give back what is due; None if nothing is."""
        due = self.incoming.take_due()
        return descriptor.pack(descriptor.RELEASE, released=due) if due else None

    def close(self) -> None:
        """Unmap both arenas; the incoming one when its last message is released."""
        self.incoming.close()
        self.outgoing.arena.close()
