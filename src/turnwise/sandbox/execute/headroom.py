"""Room for linear memory: whether this process could have all that a guest may grow to.

A guest that grows its memory within its limit and gets -1 decides something else than one that gets memory. The engine
says -1 also where the system refuses, so it must be certain that the system cannot: where something bounds the memory
of this process, the whole limit is taken and given back before an execution and after it. What a machine without such
a bound runs out of ends the process instead, which changes no outcome.
"""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

if sys.platform != "win32":
    import resource

SLACK_BYTES = 64 * 1024 * 1024
"""Room beside linear memory, for tables and for what the host makes of texts and lists."""

OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
NEVER_OVERCOMMIT = "2"


class LackOfMemory(Exception):
    """The machine, or a limit set from outside, refuses memory that the guest may have. No fault of the guest."""


class Headroom:
    """Checks of the room for linear memory. Made before the process is confined, since it reads a file."""

    def __init__(self) -> None:
        self.bounded = memory_is_bounded()

    def check(self, memory_bytes: int) -> None:
        """Raise `LackOfMemory` if there is no room for `memory_bytes`; costs nothing where nothing bounds memory."""
        if not self.bounded:
            return
        size = memory_bytes + SLACK_BYTES
        try:
            if sys.platform == "win32":
                mmap.mmap(-1, size).close()
            else:
                mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
        except (OSError, MemoryError) as error:
            raise LackOfMemory(f"{size} bytes for linear memory are refused: {error}") from None


def memory_is_bounded() -> bool:
    """Return whether the system may refuse memory: by a limit of the process, or as it promises only what it has."""
    if sys.platform == "win32":
        return True  # memory is committed when it is asked for
    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    if any(resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in limits):
        return True
    return _never_overcommits()


def address_space_is_bounded() -> bool:
    """Return whether a limit bounds the address space of this process."""
    return sys.platform != "win32" and resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def memory_is_bounded_from_outside(own_address_bytes: int) -> bool:
    """Return whether memory is bounded by more than the limit of address space that this process gave itself."""
    if sys.platform == "win32":
        return True
    address = resource.getrlimit(resource.RLIMIT_AS)[0]
    data = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return address != own_address_bytes or data != resource.RLIM_INFINITY or _never_overcommits()


def _never_overcommits() -> bool:
    try:
        return OVERCOMMIT.read_text().strip() == NEVER_OVERCOMMIT
    except OSError:
        return False
