"""The page on sweeps: its commands run as they stand there, print what stands there, and draw its picture."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.cli.conftest import Command, command

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sweep.md"
PLOT = ROOT / "examples" / "plot_sweep.py"

__all__ = ["command"]


def dots(picture: str) -> list[str]:
    """Places of the dots of a picture."""
    return [str(dot.get("cx")) for dot in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}circle")]


def test_the_page_is_true(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    sweep, plot = (shlex.split(block) for kind, block in blocks if kind == "sh")
    said = next(block for kind, block in blocks if not kind).splitlines()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    ended = command(*sweep[1:])
    assert ended.code == 0, ended.err
    printed = ended.out.splitlines()
    expected = [line for line in said if line != "…"]
    assert len(expected) == 5
    assert [line for line in expected if line not in printed] == []
    subprocess.run([sys.executable, *plot[1:]], check=True, timeout=100)
    drawn = (tmp_path / "sweep.svg").read_text(encoding="utf-8")
    assert drawn == PAGE.with_name("sweep.svg").read_text(encoding="utf-8")
    with Path("runs.csv").open(encoding="utf-8", newline="") as file:
        assert len(dots(drawn)) == len(list(csv.reader(file))) - 1 == 12


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
