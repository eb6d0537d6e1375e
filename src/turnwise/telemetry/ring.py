"""A ring of slots in shared memory, written by one process without ever waiting, read by others unnoticed.

A slot is a number, a checksum and bytes. The number grows by one with each slot that is written, and says which place
it has. Whoever reads copies a slot and believes it only if number and checksum are right: one that is being written,
or was overwritten meanwhile, is lost to that reader.

The file is sealed before anybody else can know of it: its size stays, and only the mapping that was there before can
write (`F_SEAL_FUTURE_WRITE`), so that a reader of the same user has no way to change a bit of it.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

MAGIC: Final = b"turnwise telemetry 1"
HEADER: Final = struct.Struct("<20sII4xQ")
"""Magic, slots, bytes of a slot; then the number of the newest slot, 0 before the first."""
NEWEST: Final = struct.Struct("<Q")
NEWEST_AT: Final = HEADER.size - NEWEST.size
HEADER_BYTES: Final = 64
SLOT: Final = struct.Struct("<QIHH")
"""Number, checksum of what follows, kind, bytes."""
SUMMED_AT: Final = 12
SLOTS: Final = 512
SLOT_BYTES: Final = 2_048
PAYLOAD_BYTES_MAX: Final = SLOT_BYTES - SLOT.size
RING_BYTES: Final = HEADER_BYTES + SLOTS * SLOT_BYTES


class Readable(Protocol):
    """Memory that can be copied from."""

    def __getitem__(self, key: slice, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as it was read, whole."""

    number: int
    """Number of the slot, from 1."""
    kind: int
    """Kind of what it has."""
    payload: bytes
    """Bytes that were written into it."""


class RingWriter:
    """The one writer of a ring. `close` frees the memory as soon as nobody reads it; twice does no harm."""

    def __init__(self) -> None:
        """Make the memory. Raises OSError where there is no memory that can be sealed, or not in this way."""
        if sys.platform != "linux":
            raise OSError("there is no memory here that can be sealed")
        from turnwise.sharedmem import memory_file

        self._fd: int | None = memory_file.create(RING_BYTES)
        try:
            self._memory = memory_file.map_file(self._fd, RING_BYTES, writable=True)
            self._memory[: HEADER.size] = HEADER.pack(MAGIC, SLOTS, SLOT_BYTES, 0)
            seals = memory_file.SIZE_SEALS | memory_file.F_SEAL_FUTURE_WRITE | memory_file.F_SEAL_SEAL
            memory_file.seal(self._fd, seals)
        except BaseException:
            os.close(self._fd)
            raise
        self._newest = 0

    @property
    def address(self) -> str:
        """The path under which processes of the same user find the memory while this one has it."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def write(self, slots: Sequence[tuple[int, bytes]]) -> None:
        """Write slots, each a kind and at most PAYLOAD_BYTES_MAX bytes. No call of the system, no waiting."""
        memory, number = self._memory, self._newest
        for kind, payload in slots:
            number += 1
            at = HEADER_BYTES + number % SLOTS * SLOT_BYTES
            summed = struct.pack("<HH", kind, len(payload)) + payload
            memory[at + SUMMED_AT : at + SUMMED_AT + len(summed)] = summed
            memory[at : at + SUMMED_AT] = struct.pack("<QI", number, _checksum(number, summed))
        self._newest = number
        memory[NEWEST_AT : NEWEST_AT + NEWEST.size] = NEWEST.pack(number)

    def close(self) -> None:
        """Give up the memory."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._memory.close()
            os.close(fd)


def newest(memory: Readable) -> int:
    """Return the number of the newest slot; 0 before the first. Raises ValueError for what is no ring."""
    magic, slots, slot_bytes, number = HEADER.unpack(memory[: HEADER.size])
    if magic != MAGIC or slots != SLOTS or slot_bytes != SLOT_BYTES:
        raise ValueError("this is no telemetry, or that of another version")
    return int(number)


def read(memory: Readable, number: int) -> Slot | None:
    """Copy the slot with a number; None if it is not there any more, not yet, or being written."""
    at = HEADER_BYTES + number % SLOTS * SLOT_BYTES
    copied = bytes(memory[at : at + SLOT_BYTES])
    found, checksum, kind, length = SLOT.unpack_from(copied)
    summed = copied[SUMMED_AT : SLOT.size + length]
    if found != number or length > PAYLOAD_BYTES_MAX or checksum != _checksum(number, summed):
        return None
    return Slot(number, kind, summed[SLOT.size - SUMMED_AT :])


def _checksum(number: int, summed: bytes) -> int:
    return zlib.crc32(summed, number & 0xFFFFFFFF)
