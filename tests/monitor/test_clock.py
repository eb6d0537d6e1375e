"""A run by the clock: rounds lie one behind the other for as long as they took, and turns where they ran in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import pytest

from tests.monitor.conftest import Monitor
from turnwise.core.withheld import Withheld
from turnwise.errors import UsageError
from turnwise.journal.journal import Journal
from turnwise.journal.read.grid import AskedFor
from turnwise.monitor.answers import clock
from turnwise.monitor.answers.clock import ClockAxis


@dataclass
class Lengths:
    """A journal of which only the lengths of rounds are known."""

    rounds: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def timings(self) -> Lengths:
        return self

    def lengths(self, after: int) -> list[tuple[int, int, int]]:
        return [one for one in self.rounds if one[0] > after]


def axis_of(*rounds: tuple[int, int, int]) -> ClockAxis:
    """The axis of rounds, each a number, a start and a duration."""
    found = ClockAxis()
    found.extend(cast("Journal", Lengths(list(rounds))))
    return found


def test_rounds_lie_one_behind_the_other_and_idle_time_is_closed_and_told() -> None:
    found = axis_of((1, 1_000, 50), (2, 1_060, 40), (5, 9_000_000, 10)).bounds(0, 0)
    assert found["offsets"][:8] == [0, 0, 50, 90, 90, 90, 100, 100]
    assert found["gaps"] == [(90, 9_000_000 - 1_100)]
    assert (found["total_us"], found["last_round"], found["gaps_hidden"]) == (100, 5, 0)


def test_columns_of_several_rounds_begin_with_their_first() -> None:
    axis = axis_of(*[(number, number * 10, 10) for number in range(1, 2_001)])
    assert axis.bounds(0, 3)["offsets"][:3] == [0, 70, 150]
    assert axis.bounds(1, 2)["offsets"][0] == 10 * 1_023
    assert axis.bounds(9, 0)["offsets"][0] == 20_000
    with pytest.raises(UsageError, match="no such tile"):
        axis.bounds(0, 31)


def test_an_axis_that_grows_is_that_of_the_whole_and_a_clock_that_is_set_back_does_no_harm() -> None:
    rounds = [(number, 2_000_000 * (number if number != 7 else 1), 10 + number) for number in range(1, 20)]
    journal = Lengths()
    grown = ClockAxis()
    for one in rounds:
        journal.rounds.append(one)
        grown.extend(cast("Journal", journal))
    assert grown.bounds(0, 0) == axis_of(*rounds).bounds(0, 0)
    assert grown.bounds(0, 0)["total_us"] == sum(duration for _, _, duration in rounds)
    assert len(grown.bounds(0, 0)["gaps"]) == 17


def test_the_longest_gaps_are_told_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "GAPS_MAX", 2)
    found = axis_of((1, 0, 1), (2, 5_000_000, 1), (3, 7_000_000, 1), (4, 20_000_000, 1)).bounds(0, 0)
    assert [gap for gap, _ in found["gaps"]] == [1, 3]
    assert found["gaps_hidden"] == 1


def test_a_page_is_told_what_the_journal_noted(
    monitor: Monitor, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(runs_folder / "lively.journal") as journal:
        times = list(journal.timings.between())
        failed = journal.grid.failed(1, 4)
        assert failed == {
            (record.round, turn.place) for record in journal.rounds.between() for turn in record.turns if turn.failure
        }
    found = monitor.ask("clock", run="lively.journal")
    assert found["offsets"][1:6] == [0, *accumulate(of.duration_us for of in times)]
    assert monitor.ask("clock", run="lively.journal") == found
    told = monitor.ask("spans", run="lively.journal", first=1, last=4)
    assert told["hidden"] == 0
    expected: list[list[Any]] = [
        [
            of.round,
            place,
            *span,
            [list(effect) for (at, _), effect in of.effects.items() if at == place],
            (of.round, place) in failed,
        ]
        for of in times
        for place, span in of.turns.items()
    ]
    assert told["spans"] == expected
    monkeypatch.setattr(clock, "SPANS_MAX", 3)
    assert monitor.ask("spans", run="lively.journal", first=1, last=4)["hidden"] == len(expected) - 3
    assert {span[1] for span in monitor.ask("spans", run="lively.journal", first=1, last=4, place_last=0)["spans"]} <= {
        0
    }
    assert monitor.get("/api/spans?run=lively.journal&first=1&last=100").status == 404


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        (AskedFor("generate", "haggler", None), ("model", "haggler")),
        (AskedFor("call", None, '{"args":{},"effect":"call","tool":"desk.order"}'), ("tool", "desk.order")),
        (AskedFor("call", None, Withheld("0" * 64)), ("tool", "call")),
        (AskedFor("ask", None, None), ("people", "people")),
        (AskedFor("run_python", None, None), ("other", "run_python")),
        (None, ("other", "")),
    ],
)
def test_what_is_waited_for_has_a_kind_and_a_name(asked: AskedFor | None, waited: tuple[str, str]) -> None:
    assert clock.waited_for(asked) == waited
