"""`turnwise runs`: journals of a folder, the newest first, and what cannot be read is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.journals import EVIL_SHOWN, evil_plan, play, write
from turnwise.journal import Journal
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


KILLED = """
import os, sys
from tests.cli.journals import CODES, evil_plan, play
from turnwise.core.plan_json import plan_to_json
from turnwise.core.state import first_agents
from turnwise.journal import Journal
plan = evil_plan()
run = play(plan, rounds=int(sys.argv[2]) or None)
journal = Journal.create(
    sys.argv[1], plan=plan_to_json(plan), info="{}", versions="{}", codes=CODES, agents=first_agents(plan)
)
for record in run.rounds:
    journal.writer.commit(record)
if run.end is not None:
    journal.writer.end(run.end)
os._exit(0)
"""


def killed(path: Path, rounds: int = 0) -> Path:
    """A journal whose writer is gone without closing it; after so many rounds, or after its end."""
    program = f"import sys; sys.path[:0] = {sys.path!r}\n{KILLED}"
    subprocess.run([sys.executable, "-c", program, str(path), str(rounds)], check=True)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="who holds a lock cannot be told there")
def test_what_a_killed_writer_left_is_named_and_taken_in(command: Command, tmp_path: Path) -> None:
    path = killed(tmp_path / "a.journal")
    assert {"a.journal-wal", "a.journal-lock"} <= {one.name for one in tmp_path.iterdir()}
    with Run.open(path) as run:
        head = run.head
    ended = command("runs", tmp_path)
    assert "killed: a.journal-lock, a.journal-wal lies beside it; turnwise resume " in ended.out
    assert "takes it in" in ended.out
    value = json.loads(command("runs", tmp_path, "--json").out)
    assert value["runs"][0]["left"] == ["a.journal-lock", "a.journal-wal"]
    ended = command("resume", path)
    assert ended.code == 0
    assert "a.journal-lock and a.journal-wal became part of it." in ended.err
    assert [one.name for one in tmp_path.iterdir()] == ["a.journal"]
    assert "killed: " not in command("runs", tmp_path).out
    assert "part of it" not in command("resume", path).err
    with Run.open(path) as run:
        assert run.head == head


@pytest.mark.skipif(sys.platform == "win32", reason="who holds a lock cannot be told there")
def test_a_run_that_was_killed_before_its_end_can_go_on(command: Command, tmp_path: Path) -> None:
    killed(tmp_path / "a.journal", rounds=2)
    assert "goes on" in command("runs", tmp_path).out


def test_a_run_that_is_written_is_not_called_killed(command: Command, tmp_path: Path) -> None:
    plan = evil_plan()
    write(tmp_path / "a.journal", plan, play(plan))
    with Journal.open(tmp_path / "a.journal", write=True):
        assert "killed: " not in command("runs", tmp_path).out
        assert command("resume", tmp_path / "a.journal").code == 0
    assert [one.name for one in tmp_path.iterdir()] == ["a.journal"]
