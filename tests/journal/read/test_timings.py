"""Times are kept beside the chains: a journal may lack them, and nothing of a run depends on them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import turnwise
from tests.history.forger import changed
from tests.journal.records import create, simple
from tests.orchestrator.worlds import lively
from turnwise.errors import JournalError
from turnwise.journal import Journal, RoundTimes, Span

TIMES = RoundTimes(
    1,
    1_700_000_000_000_000,
    900,
    {0: Span(1, 20), 2: Span(3, 40)},
    {(0, 0): Span(5, 6), (0, 1): Span(7, 8)},
    {1: Span(9, 9)},
)


def test_times_are_kept_with_what_their_commit_took(tmp_path: Path) -> None:
    with create(tmp_path / "run.journal") as journal:
        journal.writer.commit(simple(1), None, TIMES)
        assert list(journal.timings.between()) == []  # written together with the next
        journal.writer.commit(simple(2))
        (times,) = journal.timings.between()
        assert times.commit is not None
        assert times == RoundTimes(*[getattr(TIMES, name) for name in TIMES.__slots__[:-1]], times.commit)
        assert journal.timings.round(2) is None


def test_the_times_of_the_last_round_are_kept_when_the_journal_is_closed(tmp_path: Path) -> None:
    with create(tmp_path / "run.journal") as journal:
        journal.writer.commit(simple(1), None, TIMES)
    with Journal.open(tmp_path / "run.journal") as journal:
        assert [times.round for times in journal.timings.between()] == [1]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("played") / "run.journal"
    turnwise.run(lively(rounds_max=6), journal=path).close()
    return path


def test_a_run_has_times_of_every_round_and_turn(played: Path) -> None:
    with turnwise.open(played) as run:
        timings = list(run.timings)
        assert len(run.timings) == len(run.rounds)
        for times, record in zip(timings, run.rounds, strict=True):
            assert times.round == record.round
            assert len(times.turns) == len(record.turns)
            assert all(0 <= span.start_us <= times.duration_us for span in times.turns.values())
            assert all(span.start_us + span.duration_us <= times.duration_us for span in times.turns.values())
            assert times.commit is not None
        assert timings == sorted(timings, key=lambda times: times.started_us) or len(timings) == 1


def test_a_journal_without_times_is_as_good(played: Path, tmp_path: Path) -> None:
    copy = changed(played, tmp_path, "UPDATE ends SET id = id")
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("DROP TABLE timings")
    with turnwise.open(played) as run, turnwise.open(copy) as other:
        assert (run.head, run.execution) == (other.head, other.execution)
        assert list(other.timings) == []
        other.check()
    assert turnwise.replay(copy, workers=1).difference is None
    with Journal.open(copy, write=True) as journal:
        record = simple(9)
        journal.writer.commit(
            record.__class__(9, (), (), (), (), (), b"h" * 32, b"e" * 32), None, RoundTimes(9, 0, 0, {}, {}, {})
        )
        assert not journal.timings.there


def test_a_table_that_is_not_ours_is_refused(played: Path, tmp_path: Path) -> None:
    copy = changed(played, tmp_path, "UPDATE ends SET id = id")
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("DROP TABLE timings")
        connection.execute("CREATE TABLE timings (round INTEGER PRIMARY KEY)")
    with pytest.raises(JournalError, match="another program has added"):
        turnwise.open(copy)


def test_times_that_lie_there_of_rounds_to_come_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    create(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO timings VALUES (1, 0, 0, 0, 0, '[]', '[]', '[]')")
    with Journal.open(path, write=True) as journal:
        journal.writer.commit(simple(1), None, TIMES)
    with Journal.open(path) as journal:
        (times,) = journal.timings.between()
        assert times.turns == TIMES.turns


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE timings SET turns = 'x'",
        "UPDATE timings SET turns = '[[0],[1]]'",
        "UPDATE timings SET turns = '[[0],[1],[2,3]]'",
        "UPDATE timings SET turns = '[[99],[1],[2]]'",
        "UPDATE timings SET effects = '[[0],[0],[-1],[2]]'",
        "UPDATE timings SET waves = '[[true],[0],[1]]'",
        "UPDATE timings SET started_us = 'now'",
        "UPDATE timings SET duration_us = -1",
    ],
)
def test_times_that_are_none_are_damage(played: Path, tmp_path: Path, statement: str) -> None:
    with turnwise.open(changed(played, tmp_path, statement)) as run, pytest.raises(JournalError, match="damaged"):
        list(run.timings)


def test_the_time_of_all_rounds_reaches_from_the_first_to_the_last_end(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with create(path) as journal:
        assert journal.timings.duration_us() is None
        for number, began_us in ((1, 5_000), (2, 7_000)):
            journal.writer.commit(simple(number), None, RoundTimes(number, began_us, 900, {0: Span(0, 1)}, {}, {}))
    with Journal.open(path) as journal:
        assert journal.timings.duration_us() == 2_900
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE timings")
    with Journal.open(path) as journal:
        assert journal.timings.duration_us() is None
