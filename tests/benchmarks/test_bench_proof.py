"""The benchmark of proofs: its parts measure what they say, and no figure comes of sides that disagree."""

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


@pytest.fixture
def figure(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of figures, imported as the script imports it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("proof.figure")


def test_parts_that_need_no_model_come_to_figures_and_a_table() -> None:
    parts = ("turns", "fork", "diff", "bundle", "resume", "timings", "bytes")
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "bench_proof.py", "--quick", "--only", *parts],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(figures) == len(parts) + 1
    assert all(figure["times"] and {"reached", "spread", "holds"} <= figure.keys() for figure in figures)
    assert all(figure["figure"] in done.stderr for figure in figures)


def test_a_figure_holds_by_its_median_on_the_side_of_its_target(figure: Any) -> None:
    def made(at_least: bool, *values: float) -> Any:
        return figure.Figure("one", values, "s", 2.0, at_least, {})

    assert made(False, 1.0, 2.0, 9.0).holds
    assert not made(False, 1.0, 2.1, 2.2).holds
    assert made(True, 1.0, 2.0, 9.0).holds
    assert not made(True, 1.9, 1.9, 9.0).holds
    assert "**no**" in figure.table([made(True, 1.0)])


def test_sides_that_come_to_different_heads_are_no_figure(figure: Any) -> None:
    assert figure.alternately({"one": lambda: "head", "other": lambda: "head"}, 2).keys() == {"one", "other"}
    with pytest.raises(SystemExit, match="different heads"):
        figure.alternately({"one": lambda: "head", "other": lambda: "another"}, 1)
