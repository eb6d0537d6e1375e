"""Landlock: a ruleset without rules, so that no file can be opened, made or run, and nothing reached by TCP.

Files that are open stay usable. The kernel's version of the interface decides how much can be denied.
"""

from __future__ import annotations

import ctypes
import errno
import os

from turnwise.confine.measure import Unavailable
from turnwise.confine.system import machine, system_call

CREATE_RULESET, RESTRICT_SELF = 444, 446
CREATE_RULESET_VERSION = 1

FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""Rights over files that each version of the interface added: open, make, remove …; rename across; truncate; ioctl."""
NETWORK_RIGHTS = 0b11
"""Binding and connecting TCP sockets, from version 4."""
SCOPES = 0b11
"""Abstract sockets and signals of processes outside, from version 6."""
ALL_THREADS = 1 << 3
"""Flag that restricts threads that run already, too, from version 8."""


class Ruleset(ctypes.Structure):
    """`struct landlock_ruleset_attr`."""

    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


def version() -> int:
    """Return the version of the kernel's interface. Raises `Unavailable`."""
    machine()
    try:
        return system_call(CREATE_RULESET, None, 0, CREATE_RULESET_VERSION)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            raise Unavailable("the kernel has no Landlock, or it is not enabled") from None
        raise


def deny_all() -> str:
    """Deny all that the kernel's version can deny; return what, and for which threads.

    Before version 8 only this thread is restricted, and those that it starts.
    """
    found = version()
    others = threads() - 1
    files = 0
    for since, rights in FILE_RIGHTS.items():
        if found >= since:
            files |= rights
    ruleset = Ruleset(files, NETWORK_RIGHTS if found >= 4 else 0, SCOPES if found >= 6 else 0)
    size = 24 if found >= 6 else 16 if found >= 4 else 8
    pointer = ctypes.cast(ctypes.byref(ruleset), ctypes.c_void_p)
    descriptor = system_call(CREATE_RULESET, pointer, size, 0)
    try:
        system_call(RESTRICT_SELF, descriptor, ALL_THREADS if found >= 8 else 0)
    finally:
        os.close(descriptor)
    covered = ["files", *(["tcp"] if found >= 4 else []), *(["signals", "abstract sockets"] if found >= 6 else [])]
    whom = "all threads" if found >= 8 or not others else f"new threads, not the {others} that ran before"
    return f"version {found}: no {', '.join(covered)}, for {whom}"


def threads() -> int:
    """Return the number of threads of this process."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208
