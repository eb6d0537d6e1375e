"""Rounds are read as they were committed, and not at all where they cannot be."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.journal.recorded import recorded_run
from tests.journal.records import create, simple
from turnwise.core.records import EffectRecord, WaveRecord
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
        assert journal.rounds.last_round == recorded_run()[1][-1].round
        with pytest.raises(JournalError, match="only the heads of its rounds were kept"):
            journal.rounds.round(1)


def test_recipients_and_letters_are_those_that_are_there(tmp_path: Path) -> None:
    """A list of places or of messages of a journal that has none of them is damage, and so is a snapshot's mail."""
    path = tmp_path / "run.journal"
    create(path, count=0).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO messages (seq, round, receiver, body, recipients) VALUES (0, 0, 'a-0', 'x', '[[0,0]]')"
        )
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


@pytest.mark.parametrize(
    "waves",
    [
        [WaveRecord(1, "storyteller", ((1, 0),), "{}")],
        [WaveRecord(1, "another", ((0, 0),), "{}")],
        [WaveRecord(1, "storyteller", ((0, 1),), "{}")],
        [WaveRecord(1, "storyteller", ((0, 0),), "{}"), WaveRecord(2, "storyteller", ((0, 0),), "{}")],
    ],
    ids=["of a turn that asked nothing", "of another model", "of no model", "twice"],
)
def test_a_wave_holds_what_its_model_was_asked(tmp_path: Path, waves: list[WaveRecord]) -> None:
    record = simple(1)
    asked = EffectRecord(0, "generate", "storyteller", "{}", "{}")
    other = EffectRecord(1, "ask", None, "{}", "{}")
    turns = (replace(record.turns[0], effects=(asked, other)), *record.turns[1:])
    right = WaveRecord(1, "storyteller", ((0, 0),), "{}")
    for held, fits in (([right], True), (waves, False)):
        path = tmp_path / f"{fits}.journal"
        with create(path) as journal:
            journal.writer.commit(replace(record, turns=turns, waves=tuple(held)))
            if fits:
                assert journal.rounds.round(1).waves == (right,)
            else:
                with pytest.raises(JournalError, match=r"holds what .* was not asked"):
                    journal.rounds.round(1)


def test_what_waits_after_a_snapshot_goes_on_from_it(tmp_path: Path) -> None:
    """The round behind a snapshot reads what waited there, and leaves its own."""
    unread = ((0, (5,)), (1, (3,)), (2, (4,)))
    waits: list[list[list[tuple[int, tuple[int, ...]]]]] = []
    for kept in (None, Snapshot(2, 6, (2,) * 3, (2,) * 3, (0,) * 3, (), unread)):
        with create(tmp_path / f"{kept is None}.journal") as journal:
            for number in (1, 2, 3, 4):
                journal.writer.commit(simple(number), None, None, kept if number == 2 else None)
            pending = [journal.world.pending(number) for number in (2, 3, 4)]
            waits.append([[(one.message.seq, one.places) for one in each] for each in pending])
    assert waits[0] == waits[1]
    assert waits[0][1] == [(6, (1,)), (7, (2,)), (8, (0,))]
