"""The 16 bytes that go through the socket: one packet says one thing, and can give slots back besides.

Little endian, no padding:

| bytes | field       | meaning                                                                                  |
|-------|-------------|------------------------------------------------------------------------------------------|
| 0     | `operation` | one of the constants below                                                               |
| 1     | `slot`      | a slot of the sender's direction; in GRANT of the receiver's; in ARENAS how many there are |
| 2-3   | `kind`      | MESSAGE, LONG: the message's kind, free for the layer above                              |
| 4-11  | `length`    | MESSAGE, LONG, ASK, GRANT: bytes of the message; ARENAS: bytes of a slot                 |
| 12-15 | `released`  | any: mask of the receiver's slots that the sender of this packet gives back              |

Fields that an operation does not use are 0. Since every packet can give slots back, a request and its reply cost one
packet each.
"""

from __future__ import annotations

import struct
from typing import Final

FORMAT: Final = struct.Struct("<BBHQI")
BYTES: Final = FORMAT.size

MESSAGE: Final = 1
"""A message that lies in a slot passes to the receiver."""
RELEASE: Final = 2
"""Slots are given back, and nothing else."""
LONG: Final = 3
"""A message in a file of its own passes to the receiver. To a child the file comes with the packet; from a child it is
the one that was granted for the slot."""
ASK: Final = 4
"""A child asks for a file of `length` bytes, in which it will send a message in the place of `slot`."""
GRANT: Final = 5
"""The file that was asked for comes with this packet. Orchestrator to child only."""
ARENAS: Final = 6
"""The first packet, orchestrator to child: both arenas come with it, the one that the child reads first."""

KIND_MAX: Final = 0xFFFF


def pack(operation: int, *, slot: int = 0, kind: int = 0, length: int = 0, released: int = 0) -> bytes:
    """Return one packet as bytes."""
    return FORMAT.pack(operation, slot, kind, length, released)
