"""The seals, and what each side can do to the other's memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

if sys.platform != "linux":
    pytest.skip("memfd exists on Linux only", allow_module_level=True)

import fcntl
import mmap

from turnwise.sharedmem import PeerBroken, memory_file

PAGE = mmap.PAGESIZE
LENGTH = 4 * PAGE
ARENA = memory_file.SIZE_SEALS | memory_file.F_SEAL_SEAL


@pytest.fixture
def fd() -> Iterator[int]:
    fd = memory_file.create(LENGTH)
    yield fd
    os.close(fd)


def change(fd: int) -> list[Callable[[], object]]:
    """Every way to change a file."""
    return [
        lambda: memory_file.map_file(fd, LENGTH, writable=True),
        lambda: os.pwrite(fd, b"x", 0),
        lambda: os.ftruncate(fd, 0),
        lambda: os.ftruncate(fd, 2 * LENGTH),
        lambda: memory_file.seal(fd, fcntl.F_SEAL_SHRINK),
    ]


def test_an_arena_can_be_read_but_not_written_by_whoever_gets_it(fd: int) -> None:
    owner = memory_file.map_file(fd, LENGTH, writable=True)
    memory_file.seal(fd, ARENA | memory_file.F_SEAL_FUTURE_WRITE)
    reader = memory_file.map_file(fd, LENGTH, writable=False)
    owner[:5] = b"hello"
    assert reader[:5] == b"hello"
    with pytest.raises(TypeError):
        reader[0] = 1
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    for attempt in change(fd) + change(again):
        with pytest.raises(PermissionError):
            attempt()
    os.close(again)


def test_the_child_s_arena_keeps_its_size_and_takes_no_further_seal(fd: int) -> None:
    memory_file.seal(fd, ARENA)
    memory_file.map_file(fd, LENGTH, writable=True).close()
    for attempt in change(fd)[2:]:
        with pytest.raises(PermissionError):
            attempt()


def test_a_file_of_parts_holds_them_and_cannot_be_changed() -> None:
    parts = [b"ab", b"", bytearray(LENGTH), memoryview(b"cd"), *[b"x"] * (memory_file.PARTS_MAX + 5)]
    whole = b"".join(parts)
    fd = memory_file.of_parts(parts, len(whole))
    try:
        assert os.pread(fd, len(whole) + 1, 0) == whole
        for attempt in change(fd):
            with pytest.raises(PermissionError):
                attempt()
    finally:
        os.close(fd)


def test_writing_goes_on_where_the_kernel_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call writes at most 2 GiB; here it writes three bytes."""
    original = os.writev

    def writev(fd: int, parts: list[memoryview]) -> int:
        return original(fd, [b"".join(parts)[:3]])

    monkeypatch.setattr(os, "writev", writev)
    fd = memory_file.of_parts([b"abcde", b"f", b"ghijk"], 11)
    try:
        assert os.pread(fd, 20, 0) == b"abcdefghijk"
    finally:
        os.close(fd)


def test_what_a_child_has_filled_is_read_when_it_can_change_nothing_any_more(fd: int) -> None:
    memory_file.seal(fd, memory_file.SIZE_SEALS)
    memory_file.fill(fd, LENGTH, [b"x" * PAGE, bytearray(2 * PAGE), b"y" * PAGE])
    mapping = memory_file.map_filled(os.dup(fd), LENGTH)
    assert mapping[:1] + mapping[-1:] == b"xy"
    for attempt in change(fd):
        with pytest.raises(PermissionError):
            attempt()


def test_a_child_that_can_still_write_is_broken(fd: int) -> None:
    memory_file.seal(fd, memory_file.SIZE_SEALS)
    memory_file.fill(fd, LENGTH, [bytes(LENGTH)])
    kept = memory_file.map_file(fd, LENGTH, writable=True)
    with pytest.raises(PeerBroken, match="kept a hold"):
        memory_file.map_filled(fd, LENGTH)
    kept.close()
    given = os.dup(fd)
    memory_file.map_filled(given, LENGTH).close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(given)


def test_a_child_that_forbids_seals_is_broken(fd: int) -> None:
    memory_file.seal(fd, memory_file.F_SEAL_SEAL)
    with pytest.raises(PeerBroken, match="kept a hold"):
        memory_file.map_filled(fd, LENGTH)


@pytest.mark.parametrize("pages", [0, 3])
def test_a_child_that_did_not_write_all_of_it_is_broken(fd: int, pages: int) -> None:
    memory_file.seal(fd, memory_file.SIZE_SEALS)
    with memory_file.map_file(fd, LENGTH, writable=True) as mapping:
        mapping[: pages * PAGE] = b"x" * (pages * PAGE)
    with pytest.raises(PeerBroken, match="never wrote") as caught:
        memory_file.map_filled(fd, LENGTH)
    assert (caught.value.expected, caught.value.actual) == (LENGTH, pages * PAGE)


def test_filling_needs_no_limit_for_file_sizes() -> None:
    """A confined process has a limit of zero. In a process of its own, since the limit cannot be raised again."""
    import subprocess

    program = (
        "import os, resource\n"
        "from turnwise.sharedmem import memory_file\n"
        "fd = memory_file.create(5000)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "try:\n"
        "    os.write(fd, b'x')\n"
        "except OSError:\n"
        "    print('no file may grow')\n"
        "memory_file.fill(fd, 5000, [b'x' * 5000])\n"
        "print(os.pread(fd, 5001, 0) == b'x' * 5000)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "no file may grow\nTrue\n"


def test_a_file_that_cannot_be_made_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    create = os.memfd_create

    def note(name: str, flags: int) -> int:
        made.append(create(name, flags))
        return made[-1]

    def refuse(*arguments: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(os, "memfd_create", note)
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(OSError, match="no"):
            memory_file.create(LENGTH)
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", refuse)
        with pytest.raises(OSError, match="no"):
            memory_file.of_parts([b"x"], 1)
    assert len(made) == 2
    for fd in made:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_unmapping_waits_for_nobody_who_kept_a_slice_and_breaks_nothing_for_them(fd: int) -> None:
    mapping = memory_file.map_file(fd, LENGTH, writable=True)
    mapping[:5] = b"hello"
    view = memoryview(mapping)
    kept, array = view[:5], np.asarray(view)
    view.release()
    memory_file.unmap(mapping)
    memory_file.unmap(mapping)
    assert bytes(kept) == b"hello"
    assert array[4] == ord("o")
