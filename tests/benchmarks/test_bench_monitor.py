"""The benchmark of the monitor: its parts measure what they say, and its interval is one."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_parts_that_need_no_browser_come_to_figures() -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "bench_monitor.py", "--quick", "--only", "run", "list"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert [figure["times"] for figure in figures] == [2, 2, 1]
    assert all(figure["figure"] in done.stderr for figure in figures)


def test_an_interval_holds_the_middle_and_widens_with_the_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bench = importlib.import_module("bench_monitor")
    narrow = bench.interval([1.0, 1.01, 0.99] * 10)
    wide = bench.interval([1.0, 1.5, 0.5] * 10)
    assert narrow[0] <= 1.0 <= narrow[1]
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
    assert bench.interval([2.0]) == (2.0, 2.0)
