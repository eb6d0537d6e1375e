"""What a variable moves, against numbers that were computed by hand."""

from __future__ import annotations

import pytest

from turnwise.sweeps.moves import moves_of
from turnwise.sweeps.row import RecordedSeries, SweptRun


def run(value: str, seed: int, result: object, status: str = "finished") -> SweptRun:
    return SweptRun({"a.x": value}, seed, status, result=result)  # type: ignore[arg-type]


def test_means_moved_and_spread() -> None:
    runs = [run("1", 0, 1), run("1", 1, 3), run("2", 0, 11), run("2", 1, 15)]
    (move,) = moves_of(runs)
    assert (move.variable, move.measure, move.means, move.moved) == ("a.x", "result", {"1": 2.0, "2": 13.0}, 11.0)
    assert move.spread == pytest.approx(5**0.5)  # squares 2 + 8, four runs less two combinations
    assert move.ratio == pytest.approx(11 / 5**0.5)


def test_runs_that_failed_and_what_is_no_number_do_not_count() -> None:
    runs = [run("1", 0, {"n": 1, "t": "x", "b": True, "big": 10**400}), run("2", 0, {"n": 2}), run("2", 1, 9, "error")]
    (move,) = moves_of(runs)
    assert (move.measure, move.means, move.spread, move.ratio) == ("result.n", {"1": 1.0, "2": 2.0}, None, None)


def test_no_spread_has_no_ratio() -> None:
    (move,) = moves_of([run(value, seed, int(value)) for value in "12" for seed in (0, 1)])
    assert (move.moved, move.spread, move.ratio) == (1.0, 0.0, None)


def test_measures_of_a_run() -> None:
    records = {"p": RecordedSeries(2, 1.5), "t": RecordedSeries("x", None)}
    found = SweptRun({}, 0, "finished", result={"a": {"b": 1}, "c": [1]}, records=records).measures()
    assert found == {"result.a.b": 1, "record.p.last": 2, "record.p.mean": 1.5}
