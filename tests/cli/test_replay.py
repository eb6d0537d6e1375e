"""`turnwise replay`, in this process and as the real program."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tests.cli.worlds import TICKS, make_world, played_here, says, turnwise
from turnwise.journal import Journal
from turnwise.journal.run import Run

EVIL = "\x1b[2J\u202e"


def recorded(tmp_path: Path) -> Path:
    sender = says(json.dumps({"state": "s" * 100, "wake_in": 1, "send": [{"to": "nobody", "body": "b"}]}))
    grants = '[agents.sender.grants]\nsend = ["*"]\n'
    world = make_world(tmp_path / "w", {"sender.wat": sender, "tick.wat": TICKS}, grants, rounds_max=5)
    ended = played_here("run", world, "--journal", "run.journal", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    return tmp_path / "run.journal"


def with_another_state(journal: Path, round_: int, state: str) -> Path:
    """The same journal, but in one round the first agent is said to have left another state."""
    other = journal.with_name("other.journal")
    with Journal.open(journal) as old:
        records = list(old.rounds.between())
        turn = records[round_ - 1].turns[0]
        assert turn.output is not None
        turn = replace(turn, output=replace(turn.output, state=state))
        records[round_ - 1] = replace(records[round_ - 1], turns=(turn, *records[round_ - 1].turns[1:]))
        with Journal.create(
            other,
            plan=old.header.plan,
            info=old.header.info,
            versions=old.header.versions,
            codes=old.header.codes,
            agents=list(old.queries.agents(0)),
        ) as new:
            for record in records:
                new.writer.commit(record)
    return other


def test_an_equal_run(tmp_path: Path) -> None:
    journal = recorded(tmp_path)
    ended = turnwise("replay", journal, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    with Run.open(journal) as run:
        assert ended.stdout == f"equal: 5 rounds, 10 turns, head {run.head}\n"


def test_a_run_whose_end_was_removed(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"a.wat": says('{"state":"s"}')})
    assert turnwise("run", world, "--journal", "run.journal", cwd=tmp_path).returncode == 0
    with closing(sqlite3.connect(tmp_path / "run.journal", isolation_level=None)) as connection:
        connection.execute("DELETE FROM ends")
    ended = turnwise("replay", "run.journal", cwd=tmp_path)
    assert ended.returncode == 0
    first, second, *_ = ended.stdout.splitlines()
    assert first.startswith("equal: 1 round, 1 turn, head ")
    assert second.startswith("warning: this run was over after round 1: nobody had anything left to do")
    assert "its end is missing" in " ".join(ended.stdout.split())
    value = json.loads(turnwise("replay", "run.journal", "--json", cwd=tmp_path).stdout)
    assert (value["missing_end"], value["status"], value["notes"]) == ("quiet", "open", [])
    assert turnwise("resume", "run.journal", cwd=tmp_path).returncode == 0
    value = json.loads(turnwise("replay", "run.journal", "--json", cwd=tmp_path).stdout)
    assert (value["missing_end"], value["status"]) == (None, "quiet")


def test_an_equal_run_as_json(tmp_path: Path) -> None:
    ended = played_here("replay", recorded(tmp_path), "--json", "--workers", 1, cwd=tmp_path)
    assert ended.returncode == 0
    value = json.loads(ended.stdout)
    assert value.keys() >= {"head", "rounds", "turns", "status", "result", "journal"}
    assert (value["equal"], value["difference"], value["rounds"]) == (True, None, 5)
    assert "equal: 5 rounds" in ended.stderr


def test_the_first_difference_is_named_and_marked(tmp_path: Path) -> None:
    journal = with_another_state(recorded(tmp_path), 3, "s" * 60 + EVIL)
    ended = played_here("replay", journal, cwd=tmp_path)
    assert ended.returncode == 3
    lines = ended.stdout.split("\n")
    assert lines[0] == "difference: round 3, agent sender: state"
    assert lines[1].startswith("  expected  …sss")
    assert lines[1].endswith("\\e[2J\\u202e")
    assert lines[2].startswith("  actual    …sss")
    column = lines[3].index("^")
    assert lines[1][:column] == lines[2][:column].replace("actual  ", "expected")
    assert (lines[1][column], lines[2][column]) == ("\\", "s")
    assert "character 61" in lines[3]
    as_json = played_here("replay", journal, "--json", cwd=tmp_path)
    assert as_json.returncode == 3
    difference = json.loads(as_json.stdout)["difference"]
    assert (difference["round"], difference["agent"], difference["what"]) == (3, "sender", "state")
    assert (difference["expected"], difference["actual"]) == ("s" * 60 + EVIL, "s" * 100)
