"""The benchmark of calls of tools comes to its figures; what it calls is counted there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
FIGURES = (
    "a call at the desk alone",
    "two small transactions on this disk alone",
    "core module: a call in a run",
    "Python agent: a call in a run",
    "ours: beside its server and that execution",
    "Python agent: a call of 8 in one turn, each made",
    "a round without waiting agents",
    "calls of 2 agents at once, each counted once",
)


def test_it_comes_to_its_figures() -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "bench_tools.py", "--calls", "8", "--agents", "2", "--repeats", "1"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for figure in FIGURES:
        assert figure in done.stdout
