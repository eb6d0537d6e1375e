"""A disk that is full costs nothing that was committed, and the run can go on when there is room."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journal.records import create, simple
from tests.journal.test_crash import environment, python
from turnwise.errors import EnvironmentFailure
from turnwise.journal import Journal

linux_root = pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0 or shutil.which("mount") is None, reason="needs root, to mount a disk"
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "turnwise-test", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(file: Path) -> None:
    """Take all the room that is left."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, b"\0" * 1_024)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    finally:
        os.close(descriptor)


@linux_root
def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    path = small_disk / "run.journal"
    with create(path) as journal:
        for number in range(1, 10_000):
            try:
                journal.writer.commit(simple(number, size=400))
            except EnvironmentFailure as failure:
                full = failure
                break
        kept = journal.rounds.last_round
        assert kept > 10
        assert full.where == str(path)
        assert f"the disk is full. Everything up to round {kept} is committed" in str(full)
        assert f"turnwise resume {path}" in str(full)
        with pytest.raises(EnvironmentFailure, match="the disk is full"):
            journal.writer.commit(simple(kept + 1, size=400))
        assert journal.rounds.round(kept) == simple(kept, size=400)
    copy = tmp_path / "copy"
    shutil.copytree(small_disk, copy)
    with Journal.open(path) as journal:
        assert journal.check() == kept
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    for folder in (small_disk, copy):
        with Journal.open(folder / path.name, write=True) as journal:
            journal.writer.commit(simple(kept + 1, size=400))
            assert journal.check() == kept + 1
        assert [file.name for file in folder.iterdir()] == [path.name]


@linux_root
def test_the_same_journal_goes_on_when_there_is_room(small_disk: Path) -> None:
    with create(small_disk / "run.journal") as journal:
        journal.writer.commit(simple(1, size=400))
        ballast = small_disk / "ballast"
        fill(ballast)
        for number in range(2, 10_000):
            try:
                journal.writer.commit(simple(number, size=400))
            except EnvironmentFailure:
                break
        ballast.unlink()
        for following in range(number, number + 5):
            journal.writer.commit(simple(following, size=400))
        assert list(journal.rounds.between()) == [simple(each, size=400) for each in range(1, number + 5)]
        assert journal.check() == number + 4


@linux_root
def test_a_disk_too_full_to_begin(small_disk: Path) -> None:
    fill(small_disk / "ballast")
    with pytest.raises(EnvironmentFailure, match="the disk is full"):
        create(small_disk / "run.journal")
    assert [file.name for file in small_disk.iterdir()] == ["ballast"]


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no limit of file sizes")
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    done = subprocess.run(
        python("commit_until_refused.py", path, 300_000), capture_output=True, text=True, check=True, env=environment()
    )
    first, *message, second = done.stdout.splitlines()
    kept = int(first.removeprefix("EnvironmentFailure "))
    assert kept > 10
    assert f"Everything up to round {kept} is committed" in message[0]
    assert second == first
    with Journal.open(path, write=True) as journal:
        assert journal.check() == kept
        journal.writer.commit(simple(kept + 1, size=400))
        assert journal.check() == kept + 1
    assert list(tmp_path.iterdir()) == [path]
