"""Sums for pictures are those of the rows that they stand for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journal.read.test_queries import NUMBERS, record_of
from tests.journal.records import create
from turnwise.journal import Journal
from turnwise.journal.read.grid import Cell, Flow


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with create(tmp_path / "run.journal") as journal:
        assert set(journal.grid.totals().values()) == {0}
        assert journal.grid.span_of_messages(1, 9) == (0, 0)
        for index in range(len(NUMBERS)):
            journal.writer.commit(record_of(index))
        yield journal


@pytest.mark.parametrize(
    ("round_bits", "place_bits", "side_bits"), [(0, 0, 4), (1, 1, 3), (2, 0, 2), (0, 2, 1), (3, 3, 0)]
)
@pytest.mark.parametrize(("round_first", "place_first"), [(0, 0), (1, 0), (2, 1), (8, 2)])
def test_cells_hold_what_lies_in_them(
    journal: Journal, round_bits: int, place_bits: int, side_bits: int, round_first: int, place_first: int
) -> None:
    side = 1 << side_bits
    turns: Counter[int] = Counter()
    fuel: Counter[int] = Counter()
    for number, turn in journal.queries.turns():
        column, row = (number - round_first) >> round_bits, (turn.place - place_first) >> place_bits
        if 0 <= column < side and 0 <= row < side:
            turns[column + row * side] += 1
            fuel[column + row * side] += turn.fuel
    place = round_first, place_first, round_bits, place_bits, side_bits
    assert journal.grid.cells("turns", *place) == [
        Cell(index, turns[index], 0, turns[index]) for index in sorted(turns)
    ]
    assert journal.grid.cells("fuel", *place) == [Cell(index, turns[index], 0, fuel[index]) for index in sorted(turns)]
    assert journal.grid.cells("executions", *place) == journal.grid.cells("turns", *place)
    assert all(cell.value == 0 for cell in journal.grid.cells("effects", *place))


def test_sums_and_names(journal: Journal) -> None:
    totals = journal.grid.totals()
    assert (totals["rounds"], totals["turns"], totals["messages"], totals["logs"], totals["records"]) == (
        5,
        15,
        15,
        2,
        4,
    )
    assert totals["fuel"] == sum(turn.fuel for _, turn in journal.queries.turns())
    assert journal.grid.names() == ["a-0", "a-1", "a-2"]
    assert journal.grid.record_names() == ["x", "y"]
    assert [journal.grid.turn_after(1, number) for number in (0, 1, 4, 7, 8)] == [1, 2, 7, 8, None]
    assert journal.grid.turn_after(3, 0) is None


def test_messages_are_found_by_round_and_counted_by_who_sent_them(journal: Journal) -> None:
    assert journal.grid.span_of_messages(1, 1) == (0, 3)
    assert journal.grid.span_of_messages(2, 7) == (3, 12)
    assert journal.grid.span_of_messages(5, 6) == (0, 0)
    assert journal.grid.sent_by(1, 4) == [record_of(2).messages[1]]
    assert journal.grid.sent_by(1, 5) == []
    assert journal.grid.flows(0, 15) == [Flow(0, 1, 5), Flow(1, 2, 5), Flow(2, 0, 5)]
    assert journal.grid.flows(1, 3) == [Flow(1, 2, 1), Flow(2, 0, 1)]
    assert journal.grid.flows(15, 99) == []


def test_the_first_who_move_in_each_round(journal: Journal) -> None:
    places: dict[int, list[int]] = {}
    for number, turn in journal.queries.turns():
        places.setdefault(number, []).append(turn.place)
    rounds = [found.round for found in journal.rounds.summaries(1)]
    for most in (1, 2, 100):
        expected = {number: places.get(number, [])[:most] for number in rounds}
        assert journal.grid.movers(1, rounds[-1], most) == expected
    assert list(journal.grid.movers(rounds[1], rounds[1], 9)) == [rounds[1]]
