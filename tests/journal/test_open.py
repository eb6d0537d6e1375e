"""Whatever is not a whole journal of ours is refused with what to do, and stays as it is, byte for byte."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.records import create, simple
from turnwise.errors import EnvironmentFailure, JournalError, UsageError
from turnwise.journal import Journal
from turnwise.journal.file.format import APPLICATION_ID, FORMAT


def make(path: Path, rounds: int = 3) -> None:
    with create(path) as journal:
        for number in range(1, rounds + 1):
            journal.writer.commit(simple(number))


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir() if file.is_file()}


def refused(path: Path, pattern: str) -> None:
    """Both ways of opening refuse `path`, for the same reason, and leave everything as it is."""
    before = snapshot(path.parent)
    for write in (False, True):
        with pytest.raises(JournalError, match=pattern) as caught:
            Journal.open(path, write=write)
        assert isinstance(caught.value, UsageError)
        assert caught.value.where == str(path)
        assert caught.value.hint
    assert snapshot(path.parent) == before


def sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def test_nothing_there(tmp_path: Path) -> None:
    refused(tmp_path / "run.journal", "no such journal")
    for write in (False, True):
        with pytest.raises(JournalError, match="no such journal"):
            Journal.open(tmp_path / "nowhere" / "run.journal", write=write)


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "run.journal").mkdir()
    refused(tmp_path / "run.journal", "a folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.journal")
    refused(tmp_path / "run.journal", "not an ordinary file")


def test_a_name_that_no_file_can_have() -> None:
    for name in ("a\0b", "x" * 5_000):
        for write in (False, True):
            with pytest.raises(JournalError):
                Journal.open(name, write=write)
        with pytest.raises(JournalError):
            create(Path(name))


@pytest.mark.parametrize("content", [b"[world]\nname = 'w'\n", b"\0" * 100, b"x" * 50_000, b"SQLite format 3\0", b"S"])
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.journal"
    path.write_bytes(content)
    refused(path, "not a journal|damaged")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "run.journal").touch()
    refused(tmp_path / "run.journal", "empty")


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_sqlite_file_of_another_program(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "run.journal"
    sql(path, f"PRAGMA journal_mode = {mode}", "CREATE TABLE rounds (round)", "INSERT INTO rounds VALUES (1)")
    refused(path, "another program")
    assert [file.name for file in tmp_path.iterdir()] == ["run.journal"]


def test_a_newer_format(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    make(path)
    sql(path, f"PRAGMA user_version = {FORMAT + 1}")
    refused(path, f"format {FORMAT + 1}, and this Turnwise reads formats up to {FORMAT}")


@pytest.mark.parametrize("version", [0, -1])
def test_a_format_that_never_was(tmp_path: Path, version: int) -> None:
    path = tmp_path / "run.journal"
    make(path)
    sql(path, f"PRAGMA user_version = {version}")
    refused(path, "damaged: its format version")


@pytest.mark.parametrize(
    ("statement", "pattern"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON rounds BEGIN DELETE FROM turns; END", "has added .* t"),
        ("CREATE INDEX i ON turns (place)", "has added .* i"),
        ("CREATE TABLE mine (x)", "has added .* mine"),
        ("CREATE VIEW mine AS SELECT 1", "has added .* mine"),
        ("DROP TABLE stops", "damaged: stops"),
        ("DROP VIEW show_turns", "damaged: show_turns"),
        ("ALTER TABLE turns ADD COLUMN more", "damaged: turns"),
        ("ALTER TABLE agents RENAME TO people", "damaged"),
    ],
)
def test_other_tables_than_ours(tmp_path: Path, statement: str, pattern: str) -> None:
    path = tmp_path / "run.journal"
    make(path)
    sql(path, statement)
    refused(path, pattern)


def test_statistics_of_sqlite_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    make(path)
    sql(path, "ANALYZE")
    with Journal.open(path) as journal:
        assert journal.check() == 3


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_file(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "run.journal"
    make(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    refused(path, "damaged")


def test_a_missing_beginning(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    make(path)
    path.write_bytes(b"\0" * 4096 + path.read_bytes()[4096:])
    refused(path, "not a journal")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs another user, so needs root")
@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o755, 0o644), (0o755, 0o600), (0o700, 0o644)])
def test_without_the_right_to_write(folder_mode: int, file_mode: int) -> None:
    with tempfile.TemporaryDirectory() as name:  # unlike pytest's folders, one that others may be let into
        folder = Path(name)
        path = folder / "run.journal"
        make(path)
        path.chmod(file_mode)
        folder.chmod(folder_mode)
        check_as_nobody(folder, path, readable=bool(folder_mode & 0o005 and file_mode & 0o004))


def check_as_nobody(folder: Path, path: Path, *, readable: bool) -> None:
    before = snapshot(folder)
    program = f"""
import os, sys
from pathlib import Path
from turnwise.errors import JournalError
from turnwise.journal import Journal
path = Path({str(path)!r})
Journal.open(path).close()  # imports all that it needs while it may
os.setgid(65534)
os.setuid(65534)
for attempt in (lambda: Journal.open(path), lambda: Journal.open(path, write=True),
                lambda: Journal.create(path.with_name("new"), plan="", info="", versions="", codes={{}}, agents=())):
    try:
        with attempt() as journal:
            print("opened", journal.check())
    except JournalError as error:
        assert error.hint and error.where, error
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["opened 3" if readable else "refused", "refused", "refused"]
    assert snapshot(folder) == before


def test_a_log_that_a_killed_writer_left_is_read_without_changing_it(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    copy = tmp_path / "copy"
    copy.mkdir()
    with create(path) as journal:
        for number in (1, 2, 3):
            journal.writer.commit(simple(number))
        for ending in ("", "-wal"):
            shutil.copy(f"{path}{ending}", copy)
    before = snapshot(copy)
    with Journal.open(copy / path.name) as journal:
        assert journal.check() == 3
    after = snapshot(copy)
    assert {name: after[name] for name in before} == before
    with Journal.open(copy / path.name, write=True) as journal:
        journal.writer.commit(simple(4))
    with Journal.open(copy / path.name) as journal:
        assert list(journal.rounds.between()) == [simple(number) for number in (1, 2, 3, 4)]
    assert snapshot(copy).keys() == {path.name}


def test_a_log_that_was_torn_keeps_the_rounds_before(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    copy = tmp_path / "copy"
    copy.mkdir()
    sizes = []
    with create(path) as journal:
        for number in range(1, 6):
            journal.writer.commit(simple(number))
            sizes.append(Path(f"{path}-wal").stat().st_size)
        for ending in ("", "-wal"):
            shutil.copy(f"{path}{ending}", copy)
    log = copy / f"{path.name}-wal"
    log.write_bytes(log.read_bytes()[: sizes[3] + (sizes[4] - sizes[3]) // 2])
    with Journal.open(copy / path.name, write=True) as journal:
        assert list(journal.rounds.between()) == [simple(number) for number in (1, 2, 3, 4)]
        journal.writer.commit(simple(5))
        assert journal.check() == 5


def test_a_change_that_was_under_way_is_taken_back(tmp_path: Path) -> None:
    # SQLite keeps what it overwrites in a rollback journal while a journal of ours is opened or closed for writing.
    path = tmp_path / "run.journal"
    copy = tmp_path / "copy"
    copy.mkdir()
    make(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN EXCLUSIVE")
        database.execute("UPDATE turns SET stdout = hex(zeroblob(900))")
        for ending in ("", "-journal"):
            shutil.copy(f"{path}{ending}", copy)
        database.execute("ROLLBACK")
    assert (copy / path.name).read_bytes() != path.read_bytes()
    with Journal.open(copy / path.name) as journal:
        assert list(journal.rounds.between()) == [simple(number) for number in (1, 2, 3)]
    assert snapshot(copy).keys() == {path.name}


def test_a_beginning_that_was_under_way_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    copy = tmp_path / "copy"
    copy.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN EXCLUSIVE")
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute("CREATE TABLE meta (name, value)")
        database.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 999) "
            "INSERT INTO meta SELECT x, hex(zeroblob(900)) FROM n"
        )
        for ending in ("", "-journal"):
            shutil.copy(f"{path}{ending}", copy)
        database.execute("ROLLBACK")
    assert (copy / path.name).stat().st_size > 0
    for write in (False, True):
        with pytest.raises(JournalError, match="not a journal"):
            Journal.open(copy / path.name, write=write)


def test_a_journal_that_another_program_writes_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwise.journal.file.connection.BUSY_MS", 1)
    path = tmp_path / "run.journal"
    make(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        for write in (False, True):
            with pytest.raises(JournalError, match="locked by another program"):
                Journal.open(path, write=write)
    with Journal.open(path, write=True) as journal:
        assert journal.check() == 3


def flipped(whole: bytes, at: int) -> bytes:
    return whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]


def lost_pages(whole: bytes, at: int) -> bytes:
    page = at - at % 4096
    return whole[:page] + b"\0" * 4096 + whole[page + 4096 :]


def swapped_pages(whole: bytes, at: int) -> bytes:
    page = max(at - at % 4096, 4096)
    other = 4096 if page != 4096 else 8192
    first, second = sorted((page, other))
    return (
        whole[:first]
        + whole[second : second + 4096]
        + whole[first + 4096 : second]
        + whole[first : first + 4096]
        + whole[second + 4096 :]
    )


@pytest.mark.parametrize("harm", [flipped, lost_pages, swapped_pages])
def test_harm_anywhere_raises_nothing_but_our_errors(tmp_path: Path, harm: Callable[[bytes, int], bytes]) -> None:
    path = tmp_path / "run.journal"
    make(path)
    whole = path.read_bytes()
    noticed = 0
    places = range(0, len(whole) - 4096, 4096 + 17 if harm is not flipped else 331)
    for at in places:
        path.write_bytes(harm(whole, at))
        try:
            with Journal.open(path) as journal:
                journal.check()
                list(journal.world.standings())
                assert journal.header.codes
                assert journal.header.info
        except (JournalError, EnvironmentFailure):
            noticed += 1
    # The rest hit bytes that nothing uses, or letters of a text in place, where only the head can tell.
    assert noticed > (5 if harm is flipped else len(places) // 4)
