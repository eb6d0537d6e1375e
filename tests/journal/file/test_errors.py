"""Each error of SQLite becomes one that says whose fault it is, what is safe, and what to do."""

from __future__ import annotations

import errno
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from turnwise.errors import EnvironmentFailure, InvariantError, JournalError, TurnwiseError
from turnwise.journal.file.errors import reading, translated, unwritable

PATH = Path("a folder/run.journal")


def sqlite_error(code: int, name: str = "SQLITE_SOMETHING") -> sqlite3.Error:
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error


DISK_IS_FULL = ("the disk is full", "the disk is full")
NOT_WRITTEN = ("the journal could not be read", "the journal could not be written")
LOCKED = ("locked by another program", "locked by another program")
DAMAGED = ("the journal is damaged", "the journal is damaged")
FOREIGN = ("this is not a journal", "this is not a journal")
NO_RIGHT = ("the journal cannot be opened here", "the journal cannot be written here")


@pytest.mark.parametrize("extended", [0, 256, 3 * 256])
@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (sqlite3.SQLITE_FULL, EnvironmentFailure, DISK_IS_FULL),
        (sqlite3.SQLITE_IOERR, EnvironmentFailure, NOT_WRITTEN),
        (sqlite3.SQLITE_NOMEM, EnvironmentFailure, NOT_WRITTEN),
        (sqlite3.SQLITE_BUSY, JournalError, LOCKED),
        (sqlite3.SQLITE_LOCKED, JournalError, LOCKED),
        (sqlite3.SQLITE_CORRUPT, JournalError, DAMAGED),
        (sqlite3.SQLITE_NOTADB, JournalError, FOREIGN),
        (sqlite3.SQLITE_READONLY, JournalError, NO_RIGHT),
        (sqlite3.SQLITE_PERM, JournalError, NO_RIGHT),
        (sqlite3.SQLITE_CANTOPEN, JournalError, NO_RIGHT),
    ],
)
@pytest.mark.parametrize("writing", [False, True])
def test_each_code_of_sqlite_is_somebodys_fault(
    code: int, extended: int, kind: type[TurnwiseError], said: tuple[str, str], writing: bool
) -> None:
    error = translated(sqlite_error(code + extended, "SQLITE_NAME"), PATH, writing=writing)
    assert type(error) is kind
    assert said[writing] in str(error)
    assert error.where == str(PATH)


@pytest.mark.parametrize("error", [sqlite_error(sqlite3.SQLITE_MISMATCH), sqlite3.ProgrammingError("no code")])
def test_any_other_error_is_ours_when_writing_and_the_files_when_reading(error: sqlite3.Error) -> None:
    assert type(translated(error, PATH, writing=True)) is InvariantError
    found = translated(error, PATH, writing=False)
    assert type(found) is JournalError
    assert "the journal is damaged" in str(found)


def test_text_that_is_none_is_damage() -> None:
    with pytest.raises(JournalError, match="the journal is damaged"), reading(PATH):
        b"\xff".decode()
    with pytest.raises(JournalError, match="locked"), reading(PATH):
        raise sqlite_error(sqlite3.SQLITE_BUSY)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (None, "Nothing was written."),
        (0, "No round was committed yet."),
        (1, "Everything up to round 1 is committed and safe."),
        (7, "Everything up to round 7 is committed and safe."),
    ],
)
def test_what_is_safe_is_said_and_how_to_go_on(code: int, kept: int | None, said: str) -> None:
    error = translated(sqlite_error(code), PATH, writing=True, kept=kept)
    assert said in str(error)
    assert "turnwise resume 'a folder/run.journal'" in str(error.hint)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_file_for_which_there_is_no_room_is_the_machines_fault(number: int) -> None:
    error = unwritable(PATH, "it cannot be made", OSError(number, "no room"), "try elsewhere")
    assert type(error) is EnvironmentFailure
    assert "the disk is full: no room" in str(error)


def test_a_file_that_may_not_be_written_is_said_with_its_reason() -> None:
    error = unwritable(PATH, "it cannot be made", OSError(errno.EACCES, "no right"), "try elsewhere")
    assert type(error) is JournalError
    assert "it cannot be made: no right" in str(error)
    assert error.hint == "try elsewhere"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of open files to set")
def test_a_lack_of_descriptors_is_said_and_not_taken_for_one_of_rights(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.touch()
    script = """
import os, resource, sqlite3, sys
from pathlib import Path
from turnwise.journal.file.errors import translated

def said(path):
    try:
        sqlite3.connect(f"file:{path}?mode=rw", uri=True).execute("SELECT 1 FROM sqlite_master")
    except sqlite3.Error as error:
        print(translated(error, Path(path), writing=False))

said(sys.argv[1] + "-none")
top = os.open(os.devnull, os.O_RDONLY)
resource.setrlimit(resource.RLIMIT_NOFILE, (top + 1, top + 1))
said(sys.argv[1])
"""
    shown = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True).stdout
    without, lacking = shown.strip().split("\n" + str(path) + ":")
    assert "Check the rights" in without
    assert "Too many open files" in lacking
    assert "ulimit -n" in lacking
    assert "rights" not in lacking


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.EMFILE, EnvironmentFailure, "ulimit -n"),
        (errno.ENFILE, EnvironmentFailure, "fs.file-max"),
        (errno.EACCES, JournalError, "Check the rights"),
    ],
)
@pytest.mark.parametrize("before", [0, 3])
def test_which_limit_of_files_is_reached_is_said(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[TurnwiseError], said: str, before: int
) -> None:
    opened: list[int] = []
    closed: list[int] = []

    def no_more(path: str, flags: int) -> int:
        if len(opened) == before:
            raise OSError(number, "no more")
        opened.append(1_000_000 + len(opened))
        return opened[-1]

    with monkeypatch.context() as patched:
        patched.setattr("turnwise.journal.file.errors.os.open", no_more)
        patched.setattr("turnwise.journal.file.errors.os.close", closed.append)
        error = translated(sqlite_error(sqlite3.SQLITE_CANTOPEN), PATH, writing=True, kept=4)
    assert type(error) is kind
    assert said in str(error.hint)
    assert ("Everything up to round 4 is committed" in str(error)) is (kind is EnvironmentFailure)
    assert closed == opened
    assert len(opened) == before


def test_files_that_could_be_opened_are_not_what_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr("turnwise.journal.file.errors.os.open", lambda *_: opened.append(1) or len(opened))
        patched.setattr("turnwise.journal.file.errors.os.close", lambda _: None)
        error = translated(sqlite_error(sqlite3.SQLITE_CANTOPEN), PATH, writing=False)
        assert type(error) is JournalError
        assert len(opened) == 5
        translated(sqlite_error(sqlite3.SQLITE_FULL), PATH, writing=False)
        assert len(opened) == 5
