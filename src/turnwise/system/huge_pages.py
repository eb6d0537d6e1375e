"""Huge pages for what a process reads again and again: fewer look-ups of addresses between it and memory.

Linux takes pages of 4 KB unless it is asked. Only memory that is there already is asked for: anonymous, private, and
written to in each of its pages, so that nothing takes more memory than before. Contents stay, and so do all results.
Whatever the system does not know, or does not allow, stays as it was.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HUGE_PAGE_BYTES: Final = 2 * 1024 * 1024
MAP_BYTES_MIN: Final = 16 * HUGE_PAGE_BYTES
"""Size of a mapping, or of what lies in it without a gap, below which nothing is gained."""
MAPS_MAX: Final = 100_000
"""Lines of the list of mappings that are read: a process may have 65,530."""

_MADV_HUGEPAGE: Final = 14
_MADV_COLLAPSE: Final = 25


def collapse_memory(map_bytes_min: int = MAP_BYTES_MIN) -> int:
    """Put large memory of this process onto huge pages; return its size in bytes, 0 where that is refused."""
    if not sys.platform.startswith("linux") or mmap.PAGESIZE != 4096:
        return 0
    libc = _libc()
    collapsed = 0
    for start, end in list(_mappings(map_bytes_min)):
        for first, last in _resident(libc, start, end):
            size = last - first
            if size < map_bytes_min or libc.madvise(first, size, _MADV_HUGEPAGE):
                continue
            if libc.madvise(first, size, _MADV_COLLAPSE) == 0:
                collapsed += size
    return collapsed


def huge_pages_refusal() -> str | None:
    """Return why this system does not put memory onto huge pages, tried with a little; None if it does."""
    if not sys.platform.startswith("linux"):
        return f"{sys.platform} gives none on request"
    if mmap.PAGESIZE != 4096:
        return f"pages have {mmap.PAGESIZE} bytes here"
    libc = _libc()
    with mmap.mmap(-1, 2 * HUGE_PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        held = (ctypes.c_char * len(memory)).from_buffer(memory)
        address = -(-ctypes.addressof(held) // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
        memory.write(bytes(len(memory)))
        try:
            for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE):
                if libc.madvise(address, HUGE_PAGE_BYTES, advice):
                    return f"the system refuses (error {ctypes.get_errno()})"
        finally:
            del held
    return None


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    return libc


def _mappings(bytes_min: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of large private memory that belongs to no file, on borders of huge pages."""
    try:
        with Path("/proc/self/maps").open(encoding="utf-8", errors="replace") as lines:
            for _, line in zip(range(MAPS_MAX), lines, strict=False):
                parts = line.split(maxsplit=5)
                name = parts[5].strip() if len(parts) > 5 else ""
                anonymous = not name or name == "[heap]" or name.startswith("[anon")
                if not parts[1].startswith("rw-p") or not anonymous:
                    continue
                begin, _, end = parts[0].partition("-")
                first = -(-int(begin, 16) // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
                last = int(end, 16) // HUGE_PAGE_BYTES * HUGE_PAGE_BYTES
                if last - first >= bytes_min:
                    yield first, last
    except (OSError, ValueError, IndexError):
        return


def _resident(libc: ctypes.CDLL, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of what lies in memory without a gap, on borders of huge pages."""
    pages = (end - start) // mmap.PAGESIZE
    there = ctypes.create_string_buffer(pages)
    if libc.mincore(start, end - start, there):
        return
    whole = HUGE_PAGE_BYTES // mmap.PAGESIZE
    flags = bytes(byte & 1 for byte in there.raw[:pages])
    begin: int | None = None
    for place in range(0, pages + 1, whole):
        full = place < pages and flags.count(1, place, place + whole) == whole
        if full and begin is None:
            begin = place
        elif not full and begin is not None:
            yield start + begin * mmap.PAGESIZE, start + place * mmap.PAGESIZE
            begin = None
