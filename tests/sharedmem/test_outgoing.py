from __future__ import annotations

import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.sharedmem.arena import Arena
from turnwise.sharedmem.outgoing import Outgoing, Rest, measure
from turnwise.sharedmem.transport import Geometry


@pytest.mark.parametrize(
    "part",
    [
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"view"),
        array.array("i", [1, 2, 3]),
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.zeros((0, 3), dtype=np.float64),
        np.float32(1.5),
    ],
)
def test_any_contiguous_buffer_is_sent_as_its_bytes(part: object) -> None:
    flat, length = measure([part, b"!"])  # type: ignore[list-item]
    assert b"".join(flat) == bytes(memoryview(part)) + b"!"  # type: ignore[arg-type]
    assert length == len(b"".join(flat))


def test_a_buffer_with_gaps_is_refused() -> None:
    with pytest.raises(TypeError, match="contiguous"):
        measure([memoryview(bytes(10))[::2]])
    with pytest.raises(TypeError):
        measure(["text"])  # type: ignore[list-item]


@given(parts=st.lists(st.binary(max_size=9), max_size=6), size=st.integers(1, 11))
def test_the_rest_of_a_message_comes_in_full_pieces(parts: list[bytes], size: int) -> None:
    flat, length = measure(parts)
    rest = Rest(flat, length)
    pieces = []
    while rest.length:
        target = bytearray(size)
        count = rest.copy_into(memoryview(target))
        pieces.append(bytes(target[:count]))
    assert b"".join(pieces) == b"".join(parts)
    assert all(len(piece) == size for piece in pieces[:-1])


def test_the_lowest_free_slot_is_taken() -> None:
    geometry = Geometry(slots=3, slot_bytes=10)
    outgoing = Outgoing(Arena(memoryview(bytearray(30)), geometry, lambda: None))

    def write(length: int) -> int:
        slot = outgoing.place(length)
        assert slot is not None
        assert outgoing.write(slot, 0, [bytes(length)], length, 0)[1] == slot
        return slot

    slots = [write(length) for length in (4, 10, 0)]
    assert slots == [0, 1, 2]
    assert not outgoing.free
    assert outgoing.place(0) is None
    outgoing.give_back(0b101)
    assert write(7) == 0
    outgoing.give_back(0b011)
    assert outgoing.idle


def test_memory_is_wasted_by_free_slots_only() -> None:
    slot = 100_000
    geometry = Geometry(slots=3, slot_bytes=slot, resident_bytes_max=150_000)
    outgoing = Outgoing(Arena(memoryview(bytearray(3 * slot)), geometry, lambda: None))
    outgoing.write(0, 0, [bytes(3 * slot)], 3 * slot, 0)
    assert not outgoing.wasteful
    outgoing.give_back(0b001)
    assert not outgoing.wasteful
    outgoing.give_back(0b010)
    assert outgoing.wasteful
    outgoing.replace(Arena(memoryview(bytearray(3 * slot)), geometry, lambda: None))
    assert not outgoing.wasteful
    assert outgoing.free == 0b011


def test_a_long_message_lies_in_one_piece_where_there_is_room() -> None:
    geometry = Geometry(slots=4, slot_bytes=10)
    memory = bytearray(40)
    outgoing = Outgoing(Arena(memoryview(memory), geometry, lambda: None))
    assert outgoing.place(41) is None
    outgoing.write(0, 0, [b"x"], 1, 0)
    outgoing.write(1, 0, [b"y" * 15, b"z" * 5], 20, 0)
    assert memory[10:30] == b"y" * 15 + b"z" * 5
    assert outgoing.free == 0b1000
    outgoing.give_back(0b0010)
    assert outgoing.place(11) is None, "slots 1 and 3 are free, and do not touch"
    outgoing.give_back(0b0100)
    assert outgoing.place(30) == 1
    outgoing.give_back(0b0001)
    assert outgoing.place(40) == 0
