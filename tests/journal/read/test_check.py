"""Places, turns, messages and rounds count on, and no round holds more than it says."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.journal.file.test_lineage import fork, round_, run
from tests.journal.records import create, simple
from turnwise.core.events import Input
from turnwise.core.records import EffectRecord, MessageRecord, WaveRecord
from turnwise.errors import JournalError
from turnwise.journal import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run.journal"
    with create(path) as journal:
        for number in (1, 2, 3):
            journal.writer.commit(simple(number))
        gap = simple(4)
        messages = tuple([replace(message, round=5) for message in gap.messages])
        journal.writer.commit(replace(gap, round=5, messages=messages))
        assert journal.check() == 4
    return path


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE turns SET turn = 3 WHERE round = 2 AND place = 1", "the turns of place 1 do not count on in round 2"),
        ("UPDATE turns SET turn = 0 WHERE round = 1 AND place = 0", "the turns of place 0 do not count on in round 1"),
        ("DELETE FROM agents WHERE place = 1", "do not count on|is missing"),
        ("UPDATE agents SET place = 3 WHERE place = 2", "a place is missing"),
        ("UPDATE rounds SET agents = 4 WHERE round = 3", "the agents of round 3 do not count on|does not hold"),
        ("UPDATE messages SET recipients = '[[3,3]]' WHERE seq = 4", "is not a list of numbers|does not count on"),
    ],
)
def test_what_does_not_count_on_is_damage(path: Path, statement: str, said: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()
    with Journal.open(path) as journal, pytest.raises(JournalError, match=said):
        journal.check()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO turns VALUES (4, 0, 4, NULL, NULL, NULL, '', NULL, NULL, NULL, 1, 1)",
        "INSERT INTO stops VALUES (4, 0, 1)",
        "INSERT INTO changes VALUES (4, 0, 'drop', 7, NULL)",
    ],
)
def test_a_round_between_that_is_not_there_holds_nothing(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()
    with Journal.open(path) as journal, pytest.raises(JournalError, match="rounds 1 to 5 hold more than they say"):
        list(journal.rounds.between())


@pytest.mark.parametrize(("numbers", "right"), [((1, 2), True), ((1, 1), True), ((1, 3), False), ((2, 3), False)])
def test_waves_count_on(tmp_path: Path, numbers: tuple[int, int], right: bool) -> None:
    record = simple(1)
    effects = tuple([EffectRecord(index, "generate", "mn"[index], "{}", "{}") for index in range(2)])
    turns = (replace(record.turns[0], effects=effects), *record.turns[1:])
    named = enumerate(zip(numbers, "mn", strict=True))
    waves = tuple([WaveRecord(number, model, ((0, at),), "p") for at, (number, model) in named])
    with create(tmp_path / "run.journal") as journal:
        journal.writer.commit(replace(record, turns=turns, waves=waves))
        assert journal.rounds.last_wave("x") is None
        if right:
            assert journal.rounds.waves(1) == waves
            assert journal.rounds.round(1).waves == waves
            assert journal.rounds.last_wave("n") == waves[1]
        else:
            with pytest.raises(JournalError, match="the waves of round 1 do not count on"):
                journal.rounds.round(1)


def test_what_was_to_come_is_not_due_before_its_round(tmp_path: Path) -> None:
    path = tmp_path / "fork.journal"
    with Journal.open(run(tmp_path / "parent.journal")) as old:
        point, _ = old.fork_point(2, path)
    coming = {4: [Input("a-0", "hello")]}
    with Journal.create_fork(path, parent=point, info="{}", versions="{}", codes={}, coming=coming) as journal:
        journal.writer.commit(round_(3))
        assert len(list(journal.rounds.between())) == 3
        record = round_(4)
        moved = tuple([replace(message, seq=message.seq + 1) for message in record.messages])
        given = MessageRecord(9, 3, None, "a-0", "hello", (0,))
        journal.writer.commit(replace(record, inputs=(given,), messages=moved))
        assert len(list(journal.rounds.between())) == 4


def test_what_was_to_come_has_come(tmp_path: Path) -> None:
    path = tmp_path / "fork.journal"
    with Journal.open(run(tmp_path / "parent.journal")) as old:
        point, _ = old.fork_point(2, path)
    coming = {3: [Input("a-0", "hello")]}
    with Journal.create_fork(path, parent=point, info="{}", versions="{}", codes={}, coming=coming) as journal:
        journal.writer.commit(round_(3))
        with pytest.raises(JournalError, match="round 3 lacks what was to come from outside"):
            list(journal.rounds.between())


def test_a_fork_of_a_checked_run_is_checked(tmp_path: Path) -> None:
    with Journal.open(fork(run(tmp_path / "parent.journal"), 2, tmp_path / "fork.journal", 3, 4)) as journal:
        assert journal.check() == 4
