"""Whoever finds telemetry can read it and do nothing else to it; what is not telemetry is not touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from turnwise.telemetry.address import Telemetry
from turnwise.telemetry.ring import RING_BYTES, RingWriter

if sys.platform != "linux":
    pytest.skip("memory that can be sealed exists on Linux only", allow_module_level=True)

from turnwise.sharedmem import memory_file

ATTACK = """
import ctypes, mmap, os, sys
size = int(sys.argv[2])
def attempts(path):
    def write(fd): os.pwrite(fd, b"x", 100)
    def shrink(fd): os.ftruncate(fd, 1)
    def grow(fd): os.ftruncate(fd, 2 * size)
    def map_it(fd): mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)[100:101] = b"x"
    def punch(fd):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
        if libc.fallocate(fd, 3, 0, size): raise OSError(ctypes.get_errno(), "no")
    def protect(fd):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        at = libc.mmap(None, size, 1, 1, fd, 0)
        if libc.mprotect(at, size, 3): raise OSError(ctypes.get_errno(), "no")
        ctypes.memset(at + 100, 120, 1)
    for attempt in (write, map_it, protect, punch, grow, shrink):
        fd = os.open(path, os.O_RDWR)
        try:
            attempt(fd)
        except (OSError, ValueError):
            continue
        finally:
            os.close(fd)
        yield attempt.__name__
print(*attempts(sys.argv[1]))
"""


def attack(address: str) -> list[str]:
    """What another process of the same user succeeds in doing to memory, of what is tried."""
    found = subprocess.run(
        [sys.executable, "-c", ATTACK, address, str(RING_BYTES)], capture_output=True, text=True, check=True
    )
    return found.stdout.split()


def test_nobody_but_its_writer_can_change_it() -> None:
    ring = RingWriter()
    try:
        ring.write([(1, b"words")])
        before = ring._memory[:RING_BYTES]
        assert attack(ring.address) == []
        assert ring._memory[:RING_BYTES] == before
    finally:
        ring.close()


def test_the_same_attacks_change_memory_that_is_not_sealed() -> None:
    fd = memory_file.create(RING_BYTES)
    try:
        assert attack(f"/proc/{os.getpid()}/fd/{fd}") == ["write", "map_it", "protect", "punch", "grow", "shrink"]
    finally:
        os.close(fd)


def test_what_is_no_telemetry_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    file = tmp_path / "file"
    file.write_bytes(bytes(RING_BYTES))
    unsealed, short = memory_file.create(RING_BYTES), memory_file.create(100)
    opened = os.open(file, os.O_RDONLY), os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        for fd in (unsealed, short, *opened, 999_999):
            with pytest.raises(OSError):  # noqa: PT011 - whatever the system or the check says
                Telemetry(f"/proc/{os.getpid()}/fd/{fd}")
        for address in (str(file), str(pipe), f"/proc/{os.getpid()}/fd/../mem", "", "/proc/self/fd/1"):
            with pytest.raises(OSError, match="not that of telemetry"):
                Telemetry(address)
    finally:
        for fd in (unsealed, short, *opened):
            os.close(fd)
