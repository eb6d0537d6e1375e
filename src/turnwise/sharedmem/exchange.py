"""Both halves of one side of a link: the meaning of packets, without any IO, so that it is tested without a process.

A slot belongs to one side at a time and passes only with a packet. Each direction has its slots: the sender's are free
or in flight, the receiver's are held from the packet that brought them until the packet that gives them back has gone.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from turnwise.sharedmem import packet
from turnwise.sharedmem.errors import PeerBroken
from turnwise.sharedmem.message import LinkMessage
from turnwise.sharedmem.parts import Flat
from turnwise.sharedmem.transport import Geometry

_pack = packet.FORMAT.pack
_unpack = packet.FORMAT.unpack


@dataclass(frozen=True, slots=True)
class Notice:
    """A packet about a message in a file of its own, which only the wire can carry out."""

    operation: int
    """Operation of the packet."""
    slot: int
    """Slot of the message."""
    kind: int
    """Kind of the message."""
    length: int
    """Length of the message, bytes."""


class Exchange:
    """The state of one side. `tell` is called when a RELEASE packet (`release_packet`) should go now.

    `free` is the mask of our slots that are not in flight; the lowest is taken, so that little traffic touches little
    memory. `due` is the mask of the peer's slots that we no longer need but have not told of: it rides on the next
    packet, and is told at once when half of the slots are held, so that no sender waits for a slot nobody needs.
    """

    __slots__ = (
        "_all",
        "_held",
        "_held_max",
        "_incoming",
        "_outgoing",
        "_slot_bytes",
        "_tell",
        "due",
        "free",
    )

    def __init__(
        self, outgoing: memoryview, incoming: memoryview, geometry: Geometry, tell: Callable[[], None]
    ) -> None:
        for view in (outgoing, incoming):
            if len(view) < geometry.arena_bytes:
                raise ValueError(f"an arena of {len(view)} bytes is too short for {geometry}")
        self._outgoing = outgoing
        self._incoming = incoming
        self._slot_bytes = geometry.slot_bytes
        self._all = (1 << geometry.slots) - 1
        self._held_max = max(1, geometry.slots // 2)
        self._tell = tell
        self._held = 0
        self.free = self._all
        self.due = 0

    # -- sending -----------------------------------------------------------------------------------------------------

    def write(self, kind: int, parts: Sequence[Flat], length: int) -> bytes | None:
        """Write a message of at most a slot's length into a free slot: the packet that sends it. None: none is free."""
        slot = self.take()
        if slot is None:
            return None
        at = slot * self._slot_bytes
        view = self._outgoing
        for part in parts:
            end = at + len(part)
            view[at:end] = part
            at = end
        return _pack(packet.MESSAGE, slot, kind, length, self.take_due())

    def take(self) -> int | None:
        """Return the lowest free slot, which is now in flight; None if there is none."""
        free = self.free
        if not free:
            return None
        lowest = free & -free
        self.free = free ^ lowest
        return lowest.bit_length() - 1

    def take_back(self, slot: int) -> None:
        """A slot that was taken is not sent."""
        self.free |= 1 << slot

    def take_due(self) -> int:
        """Return the mask of slots to give back with the packet that is about to go."""
        due = self.due
        if due:
            self._held &= ~due
            self.due = 0
        return due

    def release_packet(self) -> bytes | None:
        """Return a packet that gives back what is due; None if nothing is."""
        due = self.take_due()
        return packet.pack(packet.RELEASE, released=due) if due else None

    # -- receiving ---------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> LinkMessage | Notice | None:
        """Take a packet in: the message in it, or what the wire must see to. What the rules do not allow: PeerBroken.

        The slot of a notice is not yet held: see `hold` and `accept`.
        """
        if len(data) != packet.BYTES:
            raise PeerBroken("the peer sent a packet of the wrong size", expected=packet.BYTES, actual=len(data))
        operation, slot, kind, length, released = _unpack(data)
        if released:
            self._take_back(released)
        if operation == packet.MESSAGE:
            if length > self._slot_bytes:
                raise PeerBroken("the peer sent more than a slot", expected=self._slot_bytes, actual=length)
            self.hold(slot)
            at = slot * self._slot_bytes
            return LinkMessage(kind, self._incoming[at : at + length], self, slot)
        if operation == packet.RELEASE and released and not (slot or kind or length):
            return None
        if operation in (packet.LONG, packet.ASK, packet.GRANT):
            return Notice(operation, slot, kind, length)
        raise PeerBroken("the peer sent a packet that means nothing here", actual=data.hex())

    def _take_back(self, mask: int) -> None:
        if mask & self.free or mask & ~self._all:
            raise PeerBroken(
                "the peer released memory that it did not hold", expected=self._all & ~self.free, actual=mask
            )
        self.free |= mask

    def hold(self, slot: int) -> None:
        """A slot came. One that is not the peer's to send: PeerBroken."""
        bit = 1 << slot
        held = self._held
        if bit & held or bit > self._all:
            raise PeerBroken("the peer sent memory that is not its own", expected=self._all & ~held, actual=slot)
        self._held = held | bit
        if self.due and self._held.bit_count() >= self._held_max:
            self._tell()

    def accept(self, slot: int, kind: int, mapping: mmap.mmap) -> LinkMessage:
        """Return the message in a file of its own, for which `slot` is held; it owns the mapping."""
        return LinkMessage(kind, memoryview(mapping), self, slot, mapping)

    def release(self, slot: int) -> None:
        """A message is no longer needed."""
        self.due |= 1 << slot
        if self._held.bit_count() >= self._held_max:
            self._tell()

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of both arenas. Messages that are held keep theirs."""
        self._outgoing.release()
        self._incoming.release()
