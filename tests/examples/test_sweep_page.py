"""The page on sweeps: what stands there follows from its runs, which a sweep plays as they were.

The runs lie in tests/data/sweep-haggle.json, without their heads, which depend on the journal's format. The usual test
plays those of one seed again, and `pytest -m exhaustive` the whole command of the page;
`python -m tests.examples.test_sweep_page` writes the file again.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.cli.conftest import Command, command
from turnwise.cli.commands.sweep import show_sweep
from turnwise.cli.output import Output
from turnwise.sweeps.row import RecordedSeries, SweptRun
from turnwise.sweeps.sweep import Sweep
from turnwise.sweeps.variables import variables_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sweep.md"
PLOT = ROOT / "examples" / "plot_sweep.py"
RUNS = ROOT / "tests" / "data" / "sweep-haggle.json"
TABLES = "agents.person.table=people.csv,people-gruff.csv"
SEEDS = range(6)
KEPT = ("seed", "status", "rounds", "turns", "failed", "result")

__all__ = ["command"]


def played(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """What the page's sweep comes to for some seeds."""
    swept = turnwise.sweep(ROOT / "examples" / "haggle", seeds=list(seeds), variables=variables_of([TABLES]))
    return [
        {
            "settings": dict(run.settings),
            **{name: getattr(run, name) for name in KEPT},
            "records": {name: [of.last, of.mean] for name, of in run.records.items()},
        }
        for run in swept.runs
    ]


def stored() -> list[dict[str, Any]]:
    """What it came to when the page was written."""
    found: list[dict[str, Any]] = json.loads(RUNS.read_text(encoding="utf-8"))
    return found


def run_of(row: dict[str, Any]) -> SweptRun:
    """A run of the file as the row of a sweep."""
    records = {name: RecordedSeries(*of) for name, of in row["records"].items()}
    return SweptRun(settings=row["settings"], **{name: row[name] for name in KEPT}, records=records)


def dots(picture: str) -> list[str]:
    """Places of the dots of a picture."""
    return [str(dot.get("cx")) for dot in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}circle")]


def blocks() -> tuple[list[list[str]], list[str]]:
    """The commands of the page, and what stands there as printed by the first, without what it leaves out."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    said = next(block for kind, block in found if not kind).splitlines()
    expected = [line for line in said if line != "…"]
    assert len(expected) == 5
    return [shlex.split(block) for kind, block in found if kind == "sh"], expected


def test_what_the_page_prints_and_draws_follows_from_its_runs(tmp_path: Path) -> None:
    (sweep, plot), expected = blocks()
    assert sweep == ["turnwise", "sweep", "examples/haggle", "--seeds", "0..5", "--set", TABLES, "--table", "runs.csv"]
    runs = [run_of(row) for row in stored()]
    swept, printed = Sweep(tuple(runs), ()), io.StringIO()
    show_sweep(swept, swept.moves, Path("runs.csv"), None, Output(printed))
    assert [line for line in expected if line not in printed.getvalue().splitlines()] == []
    columns = list(runs[0].settings), list(runs[0].measures())
    with (tmp_path / "runs.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow([*columns[0], "seed", *columns[1]])
        table.writerows([*run.settings.values(), run.seed, *run.measures().values()] for run in runs)
    subprocess.run([sys.executable, PLOT, *plot[2:]], check=True, timeout=100, cwd=tmp_path)
    drawn = (tmp_path / "sweep.svg").read_text(encoding="utf-8")
    assert drawn == PAGE.with_name("sweep.svg").read_text(encoding="utf-8")
    assert len(dots(drawn)) == len(runs) == 12


def test_the_runs_of_a_seed_are_played_as_they_were() -> None:
    assert played([3]) == [row for row in stored() if row["seed"] == 3]


@pytest.mark.exhaustive
def test_the_commands_of_the_page_run_as_they_stand_there(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sweep, plot), expected = blocks()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    ended = command(*sweep[1:])
    assert ended.code == 0, ended.err
    assert [line for line in expected if line not in ended.out.splitlines()] == []
    subprocess.run([sys.executable, *plot[1:]], check=True, timeout=100)
    drawn = (tmp_path / "sweep.svg").read_text(encoding="utf-8")
    assert drawn == PAGE.with_name("sweep.svg").read_text(encoding="utf-8")


def test_a_picture_of_one_value_without_spread_and_what_is_missing(tmp_path: Path) -> None:
    table, out = tmp_path / "a.csv", tmp_path / "a.svg"
    table.write_text("value,seed,number\n<one>,1,4\n<one>,2,\n")
    arguments = [sys.executable, PLOT, table, "--by", "value", "-o", out, "--number"]
    subprocess.run([*arguments, "number"], check=True, timeout=100)
    assert len(dots(out.read_text(encoding="utf-8"))) == 1
    for number, told in (("other", "has no column 'other'; it has value, seed, number"), ("", "has no column ''")):
        ended = subprocess.run([*arguments, number], capture_output=True, text=True, check=False, timeout=100)
        assert ended.returncode == 1
        assert told in ended.stderr


if __name__ == "__main__":
    RUNS.write_text(json.dumps(played(SEEDS), indent=1) + "\n", encoding="utf-8")
