"""The 16 bytes that go through the socket: one packet, one descriptor, never anything else.

Little endian, no padding:

| bytes | field       | meaning                                                                              |
|-------|-------------|--------------------------------------------------------------------------------------|
| 0     | `operation` | one of the constants below                                                           |
| 1     | `slot`      | MESSAGE: first of the slots it lies in, in the arena of the sender's direction       |
| 2-3   | `kind`      | MESSAGE: the message's kind, free for the layer above                                |
| 4-7   | `length`    | MESSAGE: bytes in the slots, of which it takes as many as are needed                 |
| 8-11  | `remaining` | MESSAGE: bytes of the same message that follow in later descriptors; 0 in its last   |
| 12-15 | `released`  | any: mask of the receiver's slots that the sender of this descriptor gives back      |

Fields that an operation does not use are 0. Since every descriptor can give slots back, a request and its reply cost
one packet each.
"""

from __future__ import annotations

import struct
from typing import Final

FORMAT: Final = struct.Struct("<BBHIII")
BYTES: Final = FORMAT.size
assert BYTES == 16

MESSAGE: Final = 1
"""A message passes to the receiver, in one slot or in several that follow each other."""
RELEASE: Final = 2
"""Slots are given back, and nothing else."""
DISCARD: Final = 3
"""The message whose first chunks were sent will not be finished; they are void."""
ARENA: Final = 4
"""Geometry of an arena: `slot` slots of `length` bytes, messages of at most `remaining` bytes.

Orchestrator to child only. At the start one for each direction, the child's incoming one first. Later, on the memfd
transport: the child's incoming arena is replaced by the one whose file descriptor comes with the next packet.
"""
ATTACHED: Final = 5
"""The child has mapped both arenas, so that their names (portable transport) can go. Child to orchestrator, once."""
BYE: Final = 6
"""The sender will send nothing more: end of file where a socket cannot be half closed."""

KIND_MAX: Final = 0xFFFF


def pack(
    operation: int, *, slot: int = 0, kind: int = 0, length: int = 0, remaining: int = 0, released: int = 0
) -> bytes:
    """One descriptor as a packet."""
    return FORMAT.pack(operation, slot, kind, length, remaining, released)
