"""Measuring for about a second: how many runs that is, of slow and fast ones."""

from __future__ import annotations

import pytest

from turnwise.inference.inspect import measure_graph
from turnwise.inference.inspect.measure_graph import PART_S_MAX, RUNS_MAX, RUNS_MIN


@pytest.mark.parametrize(
    ("run_s", "runs"),
    [(10 * PART_S_MAX, RUNS_MIN), (PART_S_MAX / 16, 16), (PART_S_MAX / 2**20, RUNS_MAX)],
)
def test_runs_are_bounded_by_time_and_count(run_s: float, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now, count = 0.0, 0

    class Clock:
        @staticmethod
        def perf_counter() -> float:
            return now

    def run() -> None:
        nonlocal now, count
        now += run_s
        count += 1

    monkeypatch.setattr(measure_graph, "time", Clock)
    assert measure_graph._median_s(run) == pytest.approx(run_s)
    assert count == runs + 1  # the first is not measured
