"""Modules that a function of the package takes into a process: those that it needs, and none that plays runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import turnwise
from tests.orchestrator.worlds import lively

PLAYING = (
    "turnwise.inference.host.host",
    "turnwise.orchestrator.assembly",
    "turnwise.sandbox.execute.executor",
    "turnwise.world",
    "wasmtime",
)
PROGRAM = """
import sys
import turnwise
{action}
print("taken", *[name for name in {playing!r} if name in sys.modules])
"""


def taken(action: str) -> list[str]:
    """Those of `PLAYING` that a new process has imported after `action`."""
    program = PROGRAM.format(action=action, playing=PLAYING)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=240)
    said, *names = done.stdout.splitlines()[-1].split()
    assert said == "taken"
    return names


@pytest.mark.parametrize("name", ["open", "diff", "why", "export", "detach", "observe"])
def test_who_reads_journals_imports_nothing_that_plays_them(name: str) -> None:
    assert taken(f"turnwise.{name}") == []


def test_commands_that_read_journals_import_nothing_that_plays_them(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    turnwise.run(lively(seed=3, rounds_max=2), journal=path).close()
    commands = [["log", path], ["runs", tmp_path], ["diff", path, path], ["why", path, "--agent", "hub", "--round", 1]]
    for command in commands:
        words = [str(word) for word in command]
        run = f"from turnwise.cli.program import run_program\nassert run_program({words!r}) == 0"
        assert taken(run) == [], command[0]


def test_who_plays_one_imports_all_of_it() -> None:
    assert taken("turnwise.run") == list(PLAYING)
