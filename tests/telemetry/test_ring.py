"""A ring keeps what was written last, and a reader believes only slots that are whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from turnwise.telemetry.ring import (
    HEADER_BYTES,
    PAYLOAD_BYTES_MAX,
    RING_BYTES,
    SLOT_BYTES,
    SLOTS,
    RingWriter,
    newest,
    read,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory that can be sealed exists on Linux only")


@pytest.fixture
def ring() -> Iterator[RingWriter]:
    found = RingWriter()
    yield found
    found.close()


def test_slots_are_read_as_they_were_written_until_others_take_their_place(ring: RingWriter) -> None:
    memory = ring._memory
    assert newest(memory) == 0
    assert read(memory, 1) is None
    ring.write([(1, b"one"), (2, b"x" * PAYLOAD_BYTES_MAX), (3, b"")])
    assert newest(memory) == 3
    assert [read(memory, number).payload for number in (1, 2, 3)] == [b"one", b"x" * PAYLOAD_BYTES_MAX, b""]  # type: ignore[union-attr]
    assert [read(memory, number).kind for number in (1, 2, 3)] == [1, 2, 3]  # type: ignore[union-attr]
    for number in range(4, SLOTS + 3):
        ring.write([(1, str(number).encode())])
    assert newest(memory) == SLOTS + 2
    assert read(memory, 1) is None
    assert read(memory, 2) is None
    assert read(memory, 3) is not None
    assert read(memory, SLOTS + 2).payload == str(SLOTS + 2).encode()  # type: ignore[union-attr]


def test_a_slot_of_which_any_byte_is_another_is_not_believed(ring: RingWriter) -> None:
    ring.write([(1, b"some words")])
    memory = bytearray(ring._memory[:RING_BYTES])
    at = HEADER_BYTES + SLOT_BYTES
    assert read(memory, 1) is not None
    for byte in range(16 + len(b"some words")):
        memory[at + byte] ^= 1
        assert read(memory, 1) is None, byte
        memory[at + byte] ^= 1
    assert read(memory, 1) is not None


def test_memory_that_is_no_ring_is_refused() -> None:
    with pytest.raises(ValueError, match="no telemetry"):
        newest(bytes(RING_BYTES))


def test_closing_twice_does_no_harm() -> None:
    ring = RingWriter()
    ring.close()
    ring.close()
