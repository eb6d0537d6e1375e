"""`turnwise runs`: journals of a folder, the newest first, and what cannot be read is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.journals import EVIL_SHOWN, evil_plan, play, write
from turnwise.journal.run import Run
from turnwise.visible_text import visible


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs, one of which has not ended, and two files that are no journals."""
    folder = tmp_path / "runs"
    folder.mkdir()
    plan = evil_plan()
    write(folder / "old.journal", plan, play(plan))
    write(folder / "open.journal", plan, play(plan, rounds=2))
    (folder / "broken.journal").write_bytes(b"not a database" * 100)
    (folder / "notes.txt").write_text("no journal")
    for age, name in enumerate(("broken.journal", "open.journal", "old.journal")):
        os.utime(folder / name, ns=(0, (1_000_000 - age) * 10**9))
    return folder


def test_runs_are_listed_with_how_they_ended(command: Command, folder: Path) -> None:
    ended = command("runs", folder)
    assert ended.code == 0
    assert ended.err == ""
    with Run.open(folder / "old.journal") as run:
        head = run.head
    lines = ended.out.splitlines()
    assert [line for line in lines if "1970-01-12T13:46" in line] == [lines[0], lines[2], lines[4]]
    assert "broken.journal" in lines[0]
    assert "not" in lines[1]
    assert "open.journal" in lines[2]
    assert f"evil {EVIL_SHOWN}, seed 7: not ended after 2 rounds" in lines[3]
    assert "old.journal" in lines[4]
    assert f"finished after 4 rounds, 1 failed turn, head {head[:12]}…" in lines[5]
    assert visible(ended.out, lines=True) == ended.out


def test_the_same_for_programs(command: Command, folder: Path) -> None:
    value = json.loads(command("runs", folder, "--json").out)
    assert value["count"] == 3
    broken, unfinished, old = value["runs"]
    assert broken["head"] is None
    assert broken["error"]
    assert (unfinished["status"], unfinished["rounds"], unfinished["error"]) == ("open", 2, None)
    assert (old["status"], old["seed"], old["failed_turns"]) == ("finished", 7, 1)
    assert len(old["head"]) == 64
    assert old["changed"] == "1970-01-12T13:46:38+00:00"


def test_only_so_many_are_read(command: Command, folder: Path) -> None:
    ended = command("runs", folder, "--last", 1)
    assert "broken.journal" in ended.out
    assert "open.journal" not in ended.out
    assert "and 2 older" in ended.out


def test_an_empty_folder_and_none(command: Command, tmp_path: Path) -> None:
    assert command("runs", tmp_path).out == f"There is no journal in {tmp_path}.\n"
    ended = command("runs", tmp_path / "missing")
    assert ended.code == 2
    assert "there is no such folder" in ended.err


def test_the_folder_is_the_one_that_run_writes_to(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert "runs/old.journal" in command("runs").out
