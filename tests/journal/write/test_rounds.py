"""Rounds are written in order, in statements of any size, and nothing follows a round that failed but itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from hashlib import shake_256
from pathlib import Path
from random import Random

import pytest

from tests.journal.records import create, simple
from turnwise.core.records import EndRecord
from turnwise.core.snapshot import Snapshot
from turnwise.errors import EnvironmentFailure, InvariantError
from turnwise.journal import Journal, RoundTimes
from turnwise.journal.file.blobs import LARGE_BYTES_MIN, BlobReader
from turnwise.journal.file.connection import open_writing
from turnwise.journal.file.format import FORMAT
from turnwise.journal.file.schema import OPTIONAL
from turnwise.journal.write import rounds
from turnwise.journal.write.round_commit import RoundCommit
from turnwise.journal.write.rounds import RoundWriter


@pytest.mark.parametrize("variables_max", [18, 19, 35, 36, 37, 250])
@pytest.mark.parametrize("rows_max", [1, 2, 3, 100])
def test_rows_are_written_in_statements_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables_max: int, rows_max: int
) -> None:
    path = tmp_path / "run.journal"
    create(path, count=7).close()
    monkeypatch.setattr(rounds, "ROWS_MAX", rows_max)
    with closing(open_writing(path)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, variables_max)
        writer = RoundWriter(connection, path)
        for number in (1, 2):
            writer.commit(simple(number, count=7, size=300))
        longest: list[str] = []
        connection.set_trace_callback(longest.append)
        writer.commit(simple(3, count=7, size=300))
        connection.set_trace_callback(None)
        assert max(statement.count("(") for statement in longest if "INTO turns" in statement) <= rows_max
    with Journal.open(path) as journal:
        assert list(journal.rounds.between()) == [simple(number, count=7, size=300) for number in (1, 2, 3)]


@pytest.mark.parametrize("rows_max", [1, 100])
def test_large_contents_are_written_among_small_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_max: int
) -> None:
    monkeypatch.setattr(rounds, "ROWS_MAX", rows_max)
    path = tmp_path / "run.journal"
    large = [memoryview(Random(seed).randbytes(LARGE_BYTES_MIN + seed)) for seed in (1, 2)]
    contents = [b"small one", large[0], b"small two", large[1], b"small three"]
    with create(path, count=1) as journal:
        numbers = [journal.writer._blobs.number(content) for content in contents]
        journal.writer.commit(simple(1, count=1))
    with closing(sqlite3.connect(path)) as connection:
        reader = BlobReader(connection, path)
        assert [reader.content(number) for number in numbers] == [bytes(content) for content in contents]


def test_statements_that_are_kept_are_bounded(tmp_path: Path) -> None:
    with create(tmp_path / "run.journal", count=100) as journal:
        for number in range(1, 81):  # each with another number of rows
            record = simple(number, count=100)
            turns = tuple([replace(turn, inbox=()) for turn in record.turns[:number]])
            journal.writer.commit(replace(record, turns=turns, messages=record.messages[:number]))
            assert len(journal.writer._statements) <= 64
        assert [len(record.turns) for record in journal.rounds.between()] == list(range(1, 81))


def test_a_batch_is_written_only_behind_the_one_before_it(tmp_path: Path) -> None:
    with create(tmp_path / "run.journal") as journal:
        writer = journal.writer
        first, second = writer.encode(RoundCommit(simple(1))), writer.encode(RoundCommit(simple(2)))
        with pytest.raises(InvariantError, match="a round is written out of order") as caught:
            writer.write(second)
        assert (caught.value.expected, caught.value.actual) == (0, 1)
        writer.write(first)
        with pytest.raises(InvariantError, match="a round is written out of order"):
            writer.write(first)
        writer.write(second)
        assert list(journal.rounds.between()) == [simple(1), simple(2)]


def test_what_was_encoded_before_a_failure_cannot_follow_it(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with create(path) as journal:
        journal.writer.commit(simple(1))
    with closing(open_writing(path)) as connection:
        writer = RoundWriter(connection, path)
        failing, following = writer.encode(RoundCommit(simple(2))), writer.encode(RoundCommit(simple(3)))
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        large = writer.encode(RoundCommit(simple(4, size=200_000)))
        writer.write(failing)
        writer.write(following)
        with pytest.raises(EnvironmentFailure, match="Everything up to round 3 is committed and safe"):
            writer.write(large)
        connection.execute("PRAGMA max_page_count = 1000000")
        with pytest.raises(InvariantError, match="a round is written out of order"):
            writer.write(large)
        with pytest.raises(EnvironmentFailure, match="Everything up to round 3"):
            writer.encode(RoundCommit(simple(5)))  # by who encodes ahead and has not been told: it would follow round 3
        writer.commit(simple(4))
        stale = writer.encode(RoundCommit(simple(5)))
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
        with pytest.raises(EnvironmentFailure):
            writer.end(EndRecord("finished", 4, shake_256(b"hard to pack").hexdigest(300_000)))
        connection.execute("PRAGMA max_page_count = 1000000")
        with pytest.raises(InvariantError, match="a round is written out of order"):
            writer.write(stale)
        with pytest.raises(EnvironmentFailure):
            writer.encode(RoundCommit(simple(6)))
        writer.resumed(versions='{"a":1}', info="{}")
        writer.commit(simple(5), EndRecord("quiet", 5, None))
    with Journal.open(path) as journal:
        assert list(journal.rounds.between()) == [simple(number) for number in (1, 2, 3, 4, 5)]
        assert [writer.round for writer in journal.header.writers()] == [0, 4]
        assert journal.rounds.end_record == EndRecord("quiet", 5, None)
        assert journal.check() == 5


def test_what_has_no_table_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    create(path).close()
    with closing(sqlite3.connect(path)) as connection:
        for table in OPTIONAL[FORMAT]:
            connection.execute(f"DROP TABLE {table}")
    with Journal.open(path, write=True) as journal:
        for number in (1, 2):
            snapshot = Snapshot(number, 3 * number, (number,) * 3, (number,) * 3, (0,) * 3, (), ())
            journal.writer.commit(simple(number), None, RoundTimes(number, 0, 1, {}, {}, {}), snapshot)
        assert [record.round for record in journal.rounds.between()] == [1, 2]
    with closing(sqlite3.connect(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert {"rounds", "turns"} <= tables
    assert not tables & OPTIONAL[FORMAT].keys()


def test_what_ends_a_write_is_told_as_it_is_or_as_what_it_means(tmp_path: Path) -> None:
    with create(tmp_path / "run.journal") as journal:
        asked = KeyboardInterrupt()
        assert journal.writer._told(asked) is asked
        for error in (OverflowError("too large"), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no text")):
            told = journal.writer._told(error)
            assert isinstance(told, InvariantError)
            assert told.message.startswith("a value cannot be stored: ")
