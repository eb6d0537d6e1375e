"""The transports, and the size of the slots of the one that has them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final, Literal

Transport = Literal["auto", "memfd", "portable"]
"""`memfd`: sealed memory without a name, Linux only. `portable`: a pipe. `auto` chooses."""

MIB: Final = 1024 * 1024
SLOTS_MAX: Final = 32
"""Released slots are a mask of 32 bits in a packet."""
MESSAGES_AHEAD_MAX: Final = 8
"""Messages of one direction that are under way at the same time."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The arena of one direction: `slots` slots of `slot_bytes` bytes each."""

    slots: int = MESSAGES_AHEAD_MAX
    slot_bytes: int = 4 * MIB

    def __post_init__(self) -> None:
        if not 1 <= self.slots <= SLOTS_MAX:
            raise ValueError(f"slots must be 1 to {SLOTS_MAX}, not {self.slots}")
        if self.slot_bytes < 1:
            raise ValueError(f"a slot must have at least a byte, not {self.slot_bytes}")

    @property
    def arena_bytes(self) -> int:
        """Bytes of all slots."""
        return self.slots * self.slot_bytes


GEOMETRY_DEFAULT: Final = Geometry()


def resolve(transport: Transport) -> Literal["memfd", "portable"]:
    """Return the transport that `auto` means here; an explicit one is itself."""
    if transport == "auto":
        return "memfd" if sys.platform == "linux" else "portable"
    return transport
