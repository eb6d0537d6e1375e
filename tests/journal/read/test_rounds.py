"""Rounds are read as they were committed, and not at all where they cannot be."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.records import create, simple
from turnwise.core.snapshot import Snapshot
from turnwise.errors import JournalError
from turnwise.journal import Journal

RECORDED = Path(__file__).parents[1] / "formats" / "format-3.journal"


def changed(tmp_path: Path, statement: str) -> Path:
    path = tmp_path / "changed.journal"
    shutil.copyfile(RECORDED, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    return path


def test_an_agent_that_another_round_spawned_is_damage(tmp_path: Path) -> None:
    with (
        Journal.open(changed(tmp_path, "UPDATE agents SET born = 2 WHERE place = 3")) as journal,
        pytest.raises(JournalError, match="round 1 holds agents of another round"),
    ):
        journal.rounds.round(1)


def test_a_journal_of_heads_alone_has_no_rounds_to_read(tmp_path: Path) -> None:
    with Journal.open(changed(tmp_path, "INSERT INTO meta VALUES ('kept', 'head')")) as journal:
        assert journal.rounds.last_round == 5
        with pytest.raises(JournalError, match="only the heads of its rounds were kept"):
            journal.rounds.round(1)


def test_recipients_and_letters_are_those_that_are_there(tmp_path: Path) -> None:
    """A list of places or of messages of a journal that has none of them is damage, and so is a snapshot's mail."""
    path = tmp_path / "run.journal"
    create(path, count=0).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO messages VALUES (0, 0, NULL, 'a-0', 'x', '[[0,0]]')")
    with Journal.open(path) as journal, pytest.raises(JournalError, match="not a list of numbers"):
        list(journal.queries.messages())


def test_a_snapshot_of_a_run_without_messages_counts_none(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    alone = simple(1, count=1)
    silent = type(alone)(1, (), (), (), (), (), alone.head, alone.execution)
    for message_next in (0, 1):
        path.unlink(missing_ok=True)
        with create(path) as journal:
            snapshot = Snapshot(1, message_next, (0,) * 3, (0,) * 3, (0,) * 3, (), ())
            journal.writer.commit(silent, None, None, snapshot)
            if message_next:
                with pytest.raises(JournalError, match="its mail is not what it can be"):
                    journal.snapshots.of(1)
            else:
                assert journal.snapshots.of(1) == snapshot
