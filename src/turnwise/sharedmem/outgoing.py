"""The sending half: which of our slots are free, and what is written into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from turnwise.sharedmem import descriptor
from turnwise.sharedmem.arena import Arena
from turnwise.sharedmem.errors import MessageTooLarge, PeerBroken
from turnwise.sharedmem.touched import COUNTED_BYTES_MIN, Touched

if TYPE_CHECKING:
    from typing_extensions import Buffer

Flat = bytes | bytearray | memoryview
"""Something whose `len` is its number of bytes."""


def flatten(part: Buffer) -> Flat:
    """A buffer of any format and shape as bytes in order, without a copy. One that is not contiguous is a TypeError."""
    if type(part) is bytes:
        return part
    view = memoryview(part)
    if view.nbytes == 0:
        return b""
    return view if view.format == "B" and view.ndim == 1 and view.c_contiguous else view.cast("B")


def measure(parts: Sequence[Buffer]) -> tuple[list[Flat], int]:
    """The parts as bytes, not copied, and their number of bytes."""
    flat = [part if type(part) is bytes else flatten(part) for part in parts]
    length = 0
    for part in flat:
        length += len(part)
    return flat, length


class Outgoing:
    """Slots of the arena that we write. A slot is free, or in flight: sent and not given back yet.

    The lowest free slot is taken, so that little traffic touches little memory.
    """

    __slots__ = ("_all", "_message_bytes_max", "_touched", "arena", "free", "slot_bytes")

    def __init__(self, arena: Arena) -> None:
        self._all = (1 << arena.geometry.slots) - 1
        self.free = self._all
        self.replace(arena)

    def replace(self, arena: Arena) -> None:
        """Go on with another arena of the same geometry. What is in flight stays so, in the old one."""
        self.arena = arena
        self.slot_bytes = arena.geometry.slot_bytes
        self._message_bytes_max = arena.geometry.message_bytes_max
        self._touched = Touched(arena.geometry)

    @property
    def idle(self) -> bool:
        """No slot is in flight."""
        return self.free == self._all

    @property
    def wasteful(self) -> bool:
        """More memory than allowed is held by slots that are free."""
        resident_bytes_max = self.arena.geometry.resident_bytes_max
        if resident_bytes_max is None or self._touched.bytes <= resident_bytes_max:
            return False
        return self._touched.bytes_in(self.free) > resident_bytes_max

    def place(self, length: int) -> int | None:
        """The lowest slot from which so many bytes lie in one free piece; None if there is no such now."""
        free = self.free
        if length <= self.slot_bytes:
            return (free & -free).bit_length() - 1 if free else None
        run = (1 << -(-length // self.slot_bytes)) - 1
        slot = 0
        while run << slot <= self._all:
            if free >> slot & run == run:
                return slot
            slot += 1
        return None

    def write(self, slot: int, kind: int, parts: Sequence[Flat], length: int, released: int) -> bytes:
        """Write a whole message into the slots that begin at `slot` (from `place`); the packet that sends it."""
        at = slot * self.slot_bytes
        view = self.arena.view
        for part in parts:
            end = at + len(part)
            view[at:end] = part
            at = end
        self._take(slot, length)
        return descriptor.FORMAT.pack(descriptor.MESSAGE, slot, kind, length, 0, released)

    def write_chunk(self, kind: int, rest: Rest, released: int) -> bytes:
        """Write as much of `rest` as one free slot holds, which must be there; the packet that sends it."""
        slot = (self.free & -self.free).bit_length() - 1
        start = slot * self.slot_bytes
        with self.arena.view[start : start + self.slot_bytes] as target:
            length = rest.copy_into(target)
        self._take(slot, length)
        return descriptor.FORMAT.pack(descriptor.MESSAGE, slot, kind, length, rest.length, released)

    def _take(self, slot: int, length: int) -> None:
        slots = 1 if length <= self.slot_bytes else -(-length // self.slot_bytes)
        self.free &= ~((1 << slots) - 1 << slot)
        if length >= COUNTED_BYTES_MIN:
            self._touched.note(slot, length)

    def give_back(self, mask: int) -> None:
        """The receiver gives slots back. Slots that are not in flight: PeerBroken."""
        if mask & self.free or mask & ~self._all:
            raise PeerBroken(
                "the peer released memory that it did not hold", expected=self._all & ~self.free, actual=mask
            )
        self.free |= mask

    def check(self, kind: int, length: int) -> None:
        """Whether such a message can be sent at all. MessageTooLarge, or ValueError for a kind out of range."""
        if length > self._message_bytes_max:
            raise MessageTooLarge(length, self._message_bytes_max)
        if not 0 <= kind <= descriptor.KIND_MAX:
            raise ValueError(f"the kind of a message must be 0 to {descriptor.KIND_MAX}, not {kind}")


class Rest:
    """What is still to be sent of a message that is longer than a slot. `length` is its number of bytes."""

    __slots__ = ("_index", "_offset", "_parts", "length")

    def __init__(self, parts: Sequence[Flat], length: int) -> None:
        self._parts = [memoryview(part) for part in parts]
        self._index = 0
        self._offset = 0
        self.length = length

    def copy_into(self, target: memoryview) -> int:
        """Copy the next bytes; their number, which is `len(target)` unless the message ends before."""
        at = 0
        while at < len(target) and self._index < len(self._parts):
            part = self._parts[self._index]
            count = min(len(target) - at, len(part) - self._offset)
            target[at : at + count] = part[self._offset : self._offset + count]
            at += count
            self._offset += count
            if self._offset == len(part):
                self._index += 1
                self._offset = 0
        self.length -= at
        return at
