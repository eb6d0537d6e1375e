"""Which transport is used, and how large its arenas are."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final, Literal

Transport = Literal["auto", "memfd", "portable"]
"""`memfd`: sealed memory without a name, Linux only. `portable`: `multiprocessing.shared_memory`. `auto` chooses."""

MIB: Final = 1024 * 1024
MESSAGE_BYTES_MAX_DEFAULT: Final = 256 * MIB
MESSAGE_BYTES_MAX_LIMIT: Final = 2**32 - 1
"""Lengths are 32 bits in a descriptor."""
SLOTS_MAX: Final = 32
"""Released slots are a mask of 32 bits in a descriptor."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The arena of one direction: `slots` slots of `slot_bytes` bytes each, and the longest message through it.

    `resident_bytes_max`: what may stay in physical memory while nobody uses the slots; None where it cannot be given
    back (the arena is then small).
    """

    slots: int
    slot_bytes: int
    message_bytes_max: int = MESSAGE_BYTES_MAX_DEFAULT
    resident_bytes_max: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.slots <= SLOTS_MAX:
            raise ValueError(f"slots must be 1 to {SLOTS_MAX}, not {self.slots}")
        if self.slot_bytes < 1 or self.arena_bytes > MESSAGE_BYTES_MAX_LIMIT:
            raise ValueError(f"an arena must have 1 to {MESSAGE_BYTES_MAX_LIMIT} bytes, not {self.arena_bytes}")
        if not 0 <= self.message_bytes_max <= MESSAGE_BYTES_MAX_LIMIT:
            raise ValueError(f"message_bytes_max must be 0 to {MESSAGE_BYTES_MAX_LIMIT}, not {self.message_bytes_max}")

    @property
    def arena_bytes(self) -> int:
        return self.slots * self.slot_bytes


MEMFD_GEOMETRY: Final = Geometry(slots=8, slot_bytes=32 * MIB, resident_bytes_max=32 * MIB)
"""Generous, since untouched pages of a memfd cost nothing and touched ones are given back."""
PORTABLE_GEOMETRY: Final = Geometry(slots=4, slot_bytes=2 * MIB)
"""Small, since some systems commit it at once, and /dev/shm in a container may have no more than 64 MiB."""


def resolve(transport: Transport) -> Literal["memfd", "portable"]:
    """The transport that `auto` means here; an explicit one is itself."""
    if transport == "auto":
        return "memfd" if sys.platform == "linux" else "portable"
    return transport
