from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.errors import InvariantError
from turnwise.inference.engine.rows import KvRows, Move


def decoding(*numbers: int) -> KvRows:
    slots = KvRows()
    for number in numbers:
        slots.enter(number)
        slots.ready(number)
    return slots


def test_rows_follow_each_other() -> None:
    slots = decoding(7, 3)
    assert slots.enter(9) == 2
    assert (slots.decoding, len(slots), 9 in slots, slots.row(3)) == ((7, 3), 3, True, 1)


def test_the_last_row_moves_where_one_ends() -> None:
    slots = decoding(1, 2, 3)
    assert slots.leave(1) == (Move(2, 0),)
    assert slots.decoding == (3, 2)
    assert slots.leave(2) == ()


def test_what_is_prefilled_stays_behind_what_decodes() -> None:
    slots = decoding(1, 2)
    slots.enter(3)
    assert slots.leave(1) == (Move(1, 0), Move(2, 1))
    slots.ready(3)
    assert slots.decoding == (2, 3)
    slots.enter(4)
    assert slots.leave(3) == (Move(2, 1),)
    assert slots.leave(4) == ()
    assert slots.decoding == (2,)


def test_one_is_prefilled_at_a_time() -> None:
    slots = decoding(1)
    slots.enter(2)
    for number in (1, 2, 3):
        with pytest.raises(InvariantError):
            slots.enter(number)
    with pytest.raises(InvariantError):
        slots.ready(1)


@given(st.lists(st.integers(0, 9), max_size=60))
def test_every_sequence_finds_what_it_wrote(numbers: list[int]) -> None:
    """Numbers enter, become ready and leave; memory follows the moves."""
    slots = KvRows()
    memory: dict[int, int] = {}
    filling: int | None = None
    for number in numbers:
        if number in slots:
            if number == filling and number % 2:
                slots.ready(number)
                filling = None
                continue
            for move in slots.leave(number):
                memory[move.target] = memory.pop(move.source)
            filling = None if number == filling else filling
        elif filling is None:
            memory[slots.enter(number)] = number
            filling = number
        inside = [*slots.decoding, *([filling] if filling is not None else [])]
        assert [memory[row] for row in range(len(slots))] == inside
        assert all(slots.row(other) == row for row, other in enumerate(inside))
