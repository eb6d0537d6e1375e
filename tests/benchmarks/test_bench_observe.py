"""The benchmark of telemetry for operators comes to its figure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_it_comes_to_a_figure() -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "bench_observe.py", "--quick"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (figure,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert figure["times"] == 2
    assert figure["figure"] in done.stderr
