"""A copy is one closed file with all that is committed; what cannot be copied leaves none."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.file.test_lineage import fork, run, shown
from tests.journal.records import create, simple
from turnwise.errors import EnvironmentFailure, JournalError
from turnwise.journal import Journal
from turnwise.journal.file import copying
from turnwise.journal.file.copying import copy_journal


def test_a_copy_has_the_same_pages_and_no_log(tmp_path: Path) -> None:
    source = run(tmp_path / "run.journal")
    before = source.read_bytes()
    (tmp_path / "copies").mkdir()
    copy_journal(source, tmp_path / "copies" / "one.journal")
    copy_journal(source, tmp_path / "copies" / "two.journal")
    assert source.read_bytes() == before
    one, two = sorted((tmp_path / "copies").iterdir())
    assert one.read_bytes() == two.read_bytes()
    assert shown(one) == shown(source)
    with closing(sqlite3.connect(one)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_what_is_committed_is_copied_while_a_run_is_writing(tmp_path: Path) -> None:
    with create(tmp_path / "run.journal") as journal:
        journal.writer.commit(simple(1))
        journal.writer.commit(simple(2))
        copy_journal(tmp_path / "run.journal", tmp_path / "copy.journal")
        journal.writer.commit(simple(3))
    with Journal.open(tmp_path / "copy.journal") as copy:
        assert list(copy.rounds.between()) == [simple(1), simple(2)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.journal", "run.journal"]


@pytest.mark.parametrize("moved", [False, True])
def test_a_copy_of_a_fork_needs_no_other_file(tmp_path: Path, moved: bool) -> None:
    parent = run(tmp_path / "parent.journal")
    child = fork(parent, 2, tmp_path / "child.journal", 3)
    grandchild = fork(child, 3, tmp_path / "grandchild.journal", 4)
    expected = shown(grandchild)
    before = grandchild.read_bytes()
    parents = []
    if moved:
        (tmp_path / "elsewhere").mkdir()
        parent = parent.rename(tmp_path / "elsewhere" / "p.journal")
        parents = [tmp_path / "elsewhere"]
    (tmp_path / "copies").mkdir()
    copy_journal(grandchild, tmp_path / "copies" / "copy.journal", parents)
    assert grandchild.read_bytes() == before
    child.unlink()
    parent.unlink()
    assert shown(tmp_path / "copies" / "copy.journal") == expected
    with Journal.open(tmp_path / "copies" / "copy.journal") as copy:
        assert copy.parent is None


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    source = run(tmp_path / "run.journal")
    (tmp_path / "copy.journal").write_text("precious")
    with pytest.raises(JournalError, match="exists already"):
        copy_journal(source, tmp_path / "copy.journal")
    assert (tmp_path / "copy.journal").read_text() == "precious"


@pytest.mark.parametrize("content", [None, b"", b"no journal at all"])
def test_what_is_no_journal_is_said_before_a_file_is_made(tmp_path: Path, content: bytes | None) -> None:
    source = tmp_path / "run.journal"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(JournalError):
        copy_journal(source, tmp_path / "copy.journal")
    assert not (tmp_path / "copy.journal").exists()


def test_a_copy_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = run(tmp_path / "run.journal")

    def full(*_: object) -> object:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(copying, "connect", full)
    with pytest.raises(EnvironmentFailure, match="the disk is full") as caught:
        copy_journal(source, tmp_path / "copy.journal")
    assert caught.value.where == str(tmp_path / "copy.journal")
    assert not (tmp_path / "copy.journal").exists()


def test_a_copy_that_cannot_be_read_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = run(tmp_path / "parent.journal")
    child = fork(parent, 2, tmp_path / "child.journal", 3)
    monkeypatch.setattr(copying, "detach", lambda path, moved: path.write_bytes(b"no journal at all"))
    with pytest.raises(JournalError, match="not a journal"):
        copy_journal(child, tmp_path / "copy.journal")
    assert not (tmp_path / "copy.journal").exists()
