"""The benchmark of the monitor: its parts measure what they say, and its interval is one."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def figures_of(*parts: str) -> list[dict[str, Any]]:
    """Figures of some parts, small and once; each stands in the table."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "bench_monitor.py", "--quick", "--only", *parts],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(figure["figure"] in done.stderr for figure in figures)
    return figures


def test_parts_that_need_no_browser_come_to_figures() -> None:
    assert [figure["times"] for figure in figures_of("run", "list")] == [1, 1, 1]


@pytest.mark.exhaustive
def test_a_flood_is_counted_where_it_arrives() -> None:
    ratio, events = figures_of("flood")
    assert "flooded / alone" in ratio["figure"]
    assert events["reached"] >= events["at_least"] == 160


def test_too_small_a_flood_ends_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bench = importlib.import_module("bench_monitor")
    assert bench.enough([160.0, 170.0], 20) == 160.0
    with pytest.raises(SystemExit, match="159 events a second were told, and not 160"):
        bench.enough([159.0, 170.0], 20)


def test_an_interval_holds_the_middle_and_widens_with_the_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bench = importlib.import_module("bench_monitor")
    narrow = bench.interval([1.0, 1.01, 0.99] * 10)
    wide = bench.interval([1.0, 1.5, 0.5] * 10)
    assert narrow[0] <= 1.0 <= narrow[1]
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
    assert bench.interval([2.0]) == (2.0, 2.0)
