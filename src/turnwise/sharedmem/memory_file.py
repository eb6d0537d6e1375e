"""Memory without a name, as a file that can be sealed (memfd; Linux only).

Nothing can be left over: when the last process that has it is gone, whatever way, the kernel frees it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Sequence
from typing import Final

from turnwise.sharedmem.errors import PeerBroken
from turnwise.sharedmem.parts import Flat, copy

if sys.platform != "linux":
    raise ImportError("memory files exist on Linux only")

import fcntl

SIZE_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
"""Seals of the size: a side that could shrink a file would make the other's access a bus error."""
LAST_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
F_SEAL_SEAL: Final = fcntl.F_SEAL_SEAL
F_SEAL_FUTURE_WRITE: Final = 0x10  # not in `fcntl` before Python 3.13
MFD_NOEXEC_SEAL: Final = 0x8  # Linux 6.3; not in `os`
PARTS_MAX: Final = 1024
"""Buffers in one call of writev (IOV_MAX)."""
BLOCK_BYTES: Final = 512
"""The unit of `st_blocks`."""


def create(length: int) -> int:
    """Return a memory file of `length` bytes, of which none takes memory before it is written; not yet sealed."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create("turnwise", flags | MFD_NOEXEC_SEAL)
    except OSError:
        fd = os.memfd_create("turnwise", flags)
    try:
        os.ftruncate(fd, length)
    except BaseException:
        os.close(fd)
        raise
    return fd


def seal(fd: int, seals: int) -> None:
    """Add seals, for good."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)


def map_file(fd: int, length: int, *, writable: bool) -> mmap.mmap:
    """Map a file; `fd` can be closed afterwards."""
    protection = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
    return mmap.mmap(fd, length, flags=mmap.MAP_SHARED, prot=protection)


def unmap(mapping: mmap.mmap) -> None:
    """Unmap; where somebody still has a slice of it, the mapping goes with the last of these."""
    with contextlib.suppress(BufferError):
        mapping.close()


class SealedFile(mmap.mmap):
    """Bytes in a memory file of their own, which nobody can change any more, mapped for reading.

    A view of all of it can be sent as a message without being copied: whoever gets it maps the same file. Closes the
    file with the mapping, or when nobody refers to it any more.
    """

    fd: int | None = None
    """Descriptor of the file; None when it is closed."""

    def __new__(cls, content: Flat) -> SealedFile:
        """Copy `content`, of at least a byte, into a file. OSError: there is no memory for it."""
        fd = of_parts([content], len(content))
        try:
            return cls.of_file(fd, len(content))
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def of_file(cls, fd: int, length: int) -> SealedFile:
        """Map a file that has all seals; the object owns the descriptor from now on. OSError: no memory for it."""
        made = super().__new__(cls, fd, length, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        made.fd = fd
        return made

    def close(self) -> None:
        """Close the file; the mapping stays for those who have views of it. Twice is harmless."""
        fd, self.fd = self.fd, None
        if fd is not None:
            os.close(fd)
        with contextlib.suppress(BufferError):
            super().close()

    def __del__(self) -> None:
        if self.fd is not None:
            os.close(self.fd)


def file_of(parts: Sequence[Flat], length: int) -> int | None:
    """Return a new descriptor of the sealed file that the parts are all of; None if they are in none."""
    if len(parts) != 1 or not isinstance(parts[0], memoryview):
        return None
    source = parts[0].obj
    if isinstance(source, SealedFile) and source.fd is not None and len(source) == length:
        return os.dup(source.fd)
    return None


def of_parts(parts: Sequence[Flat], length: int) -> int:
    """Return a file with the parts one behind the other, which nobody can change any more."""
    fd = create(length)
    try:
        rest = [memoryview(part) for part in parts if len(part)]
        first = 0
        while first < len(rest):
            written = os.writev(fd, rest[first : first + PARTS_MAX])
            while written and written >= len(rest[first]):
                written -= len(rest[first])
                first += 1
            if written:
                rest[first] = rest[first][written:]
        seal(fd, SIZE_SEALS | LAST_SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def fill(fd: int, length: int, parts: Sequence[Flat]) -> None:
    """Write the parts into a file of their length, as a confined process can, whose limit for file sizes is zero."""
    mapping = map_file(fd, length, writable=True)
    with mapping, memoryview(mapping) as view:
        copy(parts, view)


def map_filled(fd: int, length: int) -> SealedFile:
    """Map a file that a child has filled, after it has lost every way to change it.

    The result owns the descriptor, unless this raises. PeerBroken: the child can still write, or never wrote what it
    says. OSError: there is no memory for the mapping.
    """
    try:
        seal(fd, LAST_SEALS)
    except OSError as error:
        raise PeerBroken(f"the peer kept a hold of the message that it sent: {error.strerror}") from error
    there = os.fstat(fd).st_blocks * BLOCK_BYTES
    if there < length:
        raise PeerBroken("the peer sent memory that it never wrote", expected=length, actual=there)
    return SealedFile.of_file(fd, length)
