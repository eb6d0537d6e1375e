"""The writer's lock: one holder, gone with its process, and no file left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from turnwise.errors import JournalError
from turnwise.journal.file.lock import WriterLock, announced, lock_path, was_left


def test_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    lock = WriterLock(path)
    with pytest.raises(JournalError, match=f"process {os.getpid()}"):
        WriterLock(path)
    lock.close()
    lock.close()
    assert list(tmp_path.iterdir()) == []
    WriterLock(path).close()


@pytest.mark.parametrize("left", [b"", b"4242", b"\xff" * 999, b"no number"])
def test_what_a_killed_holder_left_does_not_matter(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "run.journal"
    (tmp_path / "run.journal-lock").write_bytes(left)
    lock = WriterLock(path)
    assert lock.path.read_bytes() == str(os.getpid()).encode()
    lock.close()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_a_killed_holder_left_is_told_from_one_that_is_held(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    assert not was_left(path)
    lock = WriterLock(path)
    assert not was_left(path)
    lock.close()
    program = "import os, sys; from pathlib import Path; from turnwise.journal.file.lock import WriterLock\n"
    program += "WriterLock(Path(sys.argv[1])); os._exit(0)"
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert was_left(path) == (sys.platform != "win32")
    with closing(WriterLock(path)):
        assert not was_left(path)
    lock_path(path).write_bytes(b"no number")
    assert not was_left(path), "its holder is not known"


@pytest.mark.skipif(sys.platform == "win32", reason="a lock cannot be tried there without harm")
def test_a_lock_of_a_process_that_is_not_seen_is_tried(tmp_path: Path) -> None:
    """As a process of another container is."""
    path = tmp_path / "run.journal"
    with closing(WriterLock(path)) as lock:
        lock.path.write_bytes(str(2**31 - 2).encode())
        assert not was_left(path)
    lock_path(path).write_bytes(str(2**31 - 2).encode())
    assert was_left(path)


def test_the_lock_file_is_not_followed_elsewhere(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "run.journal-lock").symlink_to(victim)
    with pytest.raises(JournalError):
        WriterLock(tmp_path / "run.journal")
    assert victim.read_text() == "precious"


def test_many_who_want_it_never_have_it_together(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    holders = 0
    most = 0
    taken = 0
    counting = threading.Lock()

    def want() -> None:
        nonlocal holders, most, taken
        for _ in range(200):
            try:
                lock = WriterLock(path)
            except JournalError:
                continue
            with counting:
                holders += 1
                taken += 1
                most = max(most, holders)
            with counting:
                holders -= 1
            lock.close()

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert taken >= 4
    assert list(tmp_path.iterdir()) == []


def test_a_lock_on_a_file_that_its_holder_removed_meanwhile_is_none(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    first = WriterLock(path)
    others: list[WriterLock] = []

    class Late(WriterLock):
        def _open(self, journal: Path) -> int:
            descriptor = super()._open(journal)
            if not others:  # between our opening and locking, the holder goes and another comes
                first.close()
                others.append(WriterLock(path))
            return descriptor

    with pytest.raises(JournalError, match="in use"):
        Late(path)
    others[0].close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="its file is closed first there")
def test_a_lock_that_was_given_back_keeps_no_descriptor(tmp_path: Path) -> None:
    lock = WriterLock(tmp_path / "run.journal")
    descriptor = lock._descriptor
    assert descriptor is not None
    os.fstat(descriptor)
    lock.close()
    with pytest.raises(OSError, match=r"[Bb]ad file descriptor"):
        os.fstat(descriptor)


def opened(path: Path) -> int:
    """Count the descriptors of this process that are open on a file."""
    links = list(Path("/proc/self/fd").iterdir())
    return sum(os.path.realpath(link) == str(path) for link in links)


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are looked up in /proc")
def test_who_does_not_get_the_lock_keeps_no_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with closing(WriterLock(path)) as lock:
        assert opened(lock.path) == 1
        with pytest.raises(JournalError):
            WriterLock(path)
        assert opened(lock.path) == 1
        assert not was_left(path)
        assert announced(path) is None
        assert opened(lock.path) == 1


def test_who_holds_a_lock_says_where_its_telemetry_is(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    assert announced(path) is None
    with closing(WriterLock(path)) as lock:
        assert announced(path) is None
        lock.announce("unix:there")
        assert announced(path) == "unix:there"
        lock.announce("")
        assert announced(path) is None
        with pytest.raises(JournalError, match=f"process {os.getpid()}"):
            WriterLock(path)
    lock.announce("too late")
    assert announced(path) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_lock_that_is_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    os.mkfifo(lock_path(path))
    assert announced(path) is None
