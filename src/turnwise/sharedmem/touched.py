"""How much memory of an arena has come into being: pages that were written exist until they are given back."""

from __future__ import annotations

from typing import Final

from turnwise.sharedmem.transport import Geometry

COUNTED_BYTES_MIN: Final = 64 * 1024
"""Shorter messages are not counted: all slots together hold no more of them than 2 MiB."""


class Touched:
    """For each slot the longest message that was in it. `bytes` is their sum."""

    __slots__ = ("_longest", "_slot_bytes", "bytes")

    def __init__(self, geometry: Geometry) -> None:
        self._slot_bytes = geometry.slot_bytes
        self._longest = [0] * geometry.slots
        self.bytes = 0

    def note(self, slot: int, length: int) -> None:
        """A message of `length` bytes lies in `slot`, and in those that follow as far as it needs them."""
        while length > 0:
            part = min(length, self._slot_bytes)
            if part > self._longest[slot]:
                self.bytes += part - self._longest[slot]
                self._longest[slot] = part
            slot += 1
            length -= part

    def forget(self, slot: int) -> None:
        """The pages of a slot were given back."""
        self.bytes -= self._longest[slot]
        self._longest[slot] = 0

    def bytes_in(self, mask: int) -> int:
        """The part of `bytes` that lies in the slots of `mask`."""
        return sum(longest for slot, longest in enumerate(self._longest) if mask >> slot & 1)
