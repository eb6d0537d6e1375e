"""How a connection that writes is set up: what is committed survives a power cut, and other programs can read."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.file.test_lineage import fork, run
from tests.journal.records import create
from turnwise.errors import JournalError
from turnwise.journal.file.connection import (
    BUSY_MS,
    WAL_CHECKPOINT_PAGES,
    _use_log,
    connect,
    create_file,
    detach,
    look,
    open_reading,
    open_writing,
    tidy_and_close,
)
from turnwise.journal.file.lock import WriterLock


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("synchronous", 2),  # FULL: each commit is synced before it returns
        ("fullfsync", 1),
        ("journal_mode", "wal"),
        ("wal_autocheckpoint", WAL_CHECKPOINT_PAGES),
        ("trusted_schema", 0),
        ("cell_size_check", 1),
        ("mmap_size", 0),
        ("busy_timeout", BUSY_MS),
    ],
)
def test_a_writer_is_durable(tmp_path: Path, pragma: str, value: object) -> None:
    create(tmp_path / "run.journal").close()
    with closing(open_writing(tmp_path / "run.journal")) as connection:
        assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)


@pytest.mark.parametrize(("pragma", "value"), [("query_only", 1), ("trusted_schema", 0), ("cell_size_check", 1)])
def test_a_reader_cannot_write(tmp_path: Path, pragma: str, value: object) -> None:
    create(tmp_path / "run.journal").close()
    with closing(open_reading(tmp_path / "run.journal")) as connection:
        assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)


def test_a_reader_of_a_fork_cannot_write_either(tmp_path: Path) -> None:
    run(tmp_path / "parent.journal")
    path = fork(tmp_path / "parent.journal", 2, tmp_path / "fork.journal", 3)
    with closing(open_reading(path)) as connection:
        assert connection.execute("PRAGMA query_only").fetchone() == (1,)


def test_a_writer_that_is_tidied_is_closed(tmp_path: Path) -> None:
    create(tmp_path / "run.journal").close()
    connection = open_writing(tmp_path / "run.journal")
    tidy_and_close(connection)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
    assert [path.name for path in tmp_path.iterdir()] == ["run.journal"]


def test_damage_is_said_whoever_holds_the_lock(tmp_path: Path) -> None:
    path = run(tmp_path / "run.journal")
    path.write_bytes(path.read_bytes()[:4096])
    with closing(WriterLock(path)), pytest.raises(JournalError, match="the journal is damaged"):
        open_reading(path)


def test_a_fork_is_made_whole_durably(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "parent.journal")
    path = fork(tmp_path / "parent.journal", 2, tmp_path / "fork.journal", 3)
    seen: list[str] = []

    def watched(path: Path, mode: str) -> sqlite3.Connection:
        connection = connect(path, mode)
        connection.set_trace_callback(seen.append)
        return connection

    monkeypatch.setattr("turnwise.journal.file.connection.connect", watched)
    assert detach(path) == 1
    assert seen.index("PRAGMA synchronous = FULL") < seen.index("BEGIN IMMEDIATE") < seen.index("COMMIT")
    assert not [statement for statement in seen if "synchronous" in statement and "FULL" not in statement]


@pytest.mark.skipif(os.name != "posix", reason="a folder cannot be synced there")
def test_a_new_file_and_its_name_are_on_disk_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.append((status.st_dev, status.st_ino))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "run.journal"
    create_file(path)
    assert synced == [(found.st_dev, found.st_ino) for found in (path.stat(), tmp_path.stat())]


def test_a_connection_that_wrote_leaves_one_file(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    create(path).close()
    connection = open_writing(path)
    connection.execute("UPDATE meta SET value = value")
    assert path.with_name("run.journal-wal").exists()
    tidy_and_close(connection)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes()[18:20] == b"\1\1", "the file says that a log lies beside it"


def test_a_file_without_a_page_is_a_journal_that_was_never_begun(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    create_file(path)
    with pytest.raises(JournalError, match="it is empty, as left by a run") as caught:
        look(path)
    assert "another program" not in str(caught.value)


def test_where_there_is_no_log_nothing_is_written() -> None:
    """As on a file system that cannot share memory; a database without a file has no log either."""
    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(JournalError, match="local disk") as caught:
        _use_log(connection, Path("run.journal"))
    assert (caught.value.expected, caught.value.actual) == ("wal", "memory")
