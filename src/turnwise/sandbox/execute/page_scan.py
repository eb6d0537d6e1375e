"""Resetting only the pages that a turn wrote to, which Linux can tell: PAGEMAP_SCAN, since 6.7.

wasmtime's pooling allocator can ask for them, but its C interface has no function that switches that on; so one byte of
the configuration is set here, and only if every byte of it is as the pinned version makes it. Where anything is
otherwise (another version, another system, an older Linux, no `/proc`) there are no scans, and nothing else changes.

The allocator takes a page that nobody has touched yet for written to, so what is there is mapped first (`populate`).
After that a turn costs no page fault: its memory stays, and what it wrote to is written over.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import sys
from pathlib import Path
from typing import Any, Final

from turnwise.sandbox.execute import c_library
from turnwise.system.distributions import version_of

DEFAULT: Final = bytes.fromhex(
    "00001000000000000000100000000000204e0000000000000000000001000000"
    "e8030000e8030000ffffffffffffffffffffffffe8030000e8030000e8030000"
    "0100000001000000e80300000000000001000000000000000000200000000000"
    "0000000000000000000000000000000000000000000000001000000000000000"
    "6400000002020000"
)
"""A new configuration of the allocator, as the library makes it, where it has values."""
PADDING: Final = frozenset((*range(76, 80), *range(134, 136)))
"""Bytes of it that lie between values, where anything may be."""
SCAN_OFFSET: Final = 133
YES: Final = 1

SCANNED_BYTES: Final = 2 * 1024 * 1024
"""Pages that are written over after a turn, together; of what it wrote to beyond that, everything is given back.

A turn of Python that does nothing writes to some 130 pages, 0.5 MiB.
"""

POPULATE_READ: Final = 22
POPULATED_FIRST: Final = 2
"""Turns of a carrier at first before which its memory is mapped: the first, and that behind the first reset."""
POPULATED_EVERY: Final = 64
"""Then every so many turns, since a turn that writes to more than `SCANNED_BYTES` has its memory given back."""

_libc: Any = None if sys.platform == "win32" else ctypes.CDLL(None)


def switch_on(allocator: Any) -> bool:
    """Switch scans on in a new configuration of the allocator; return False, with nothing written, if it is unknown."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or version_of("wasmtime") != c_library.VERSION:
        return False
    address = ctypes.cast(allocator, ctypes.c_void_p).value
    if address is None or not is_default(ctypes.string_at(address, len(DEFAULT))) or not _can_populate():
        return False
    ctypes.memset(address + SCAN_OFFSET, YES, 1)
    return True


def is_default(configuration: bytes) -> bool:
    """Return whether a configuration is as the library makes it."""
    return all(
        found == expected
        for at, (found, expected) in enumerate(zip(configuration, DEFAULT, strict=True))
        if at not in PADDING
    )


def is_open() -> bool:
    """Return whether this process has its own page map open, as the allocator has it where it scans."""
    try:
        links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    except OSError:
        return False
    return f"/proc/{os.getpid()}/pagemap" in links


def populate(address: int, size: int) -> None:
    """Map what is there at `address`, for reading. A kernel that cannot, does not; memory is then as it was."""
    _libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), POPULATE_READ)


def _can_populate() -> bool:
    with mmap.mmap(-1, mmap.PAGESIZE) as memory:
        try:
            memory.madvise(POPULATE_READ)
        except OSError:
            return False
    return True
