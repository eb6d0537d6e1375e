"""Landlock: no file can be opened, made or run but those that are kept, and nothing reached by TCP.

Files that are open stay usable. The kernel's version of the interface decides how much can be denied.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from turnwise.confine.measure import Unavailable
from turnwise.confine.system import machine, system_call

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1

FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""Rights over files that each version of the interface added: open, make, remove …; rename across; truncate; ioctl."""
WRITE_FILE, READ_FILE, READ_DIR, IOCTL_DEV = 1 << 1, 1 << 2, 1 << 3, 1 << 15
REMOVE_FILE, MAKE_DIR, MAKE_FILE, TRUNCATE = 1 << 5, 1 << 7, 1 << 8, 1 << 14
WRITE = WRITE_FILE | REMOVE_FILE | MAKE_DIR | MAKE_FILE | TRUNCATE
NETWORK_RIGHTS = 0b11
"""Binding and connecting TCP sockets, from version 4."""
SCOPES = 0b11
"""Abstract sockets and signals of processes outside, from version 6."""
ALL_THREADS = 1 << 3
"""Flag that restricts threads that run already, too, from version 8."""


class Ruleset(ctypes.Structure):
    """`struct landlock_ruleset_attr`."""

    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class PathRule(ctypes.Structure):
    """`struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """Files and folders, with all below them, that can still be opened. Those that are not there are passed over."""

    read: tuple[Path, ...] = ()
    """Files that can be read: libraries, and what a system says of itself."""
    devices: tuple[Path, ...] = ()
    """Device files: read, written and controlled."""
    write: tuple[Path, ...] = ()
    """Folders in which files can be read, written, made and removed, and folders made."""


NO_FILES = KeptFiles()


def version() -> int:
    """Return the version of the kernel's interface. Raises `Unavailable`."""
    machine()
    try:
        return system_call(CREATE_RULESET, None, 0, CREATE_RULESET_VERSION)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            raise Unavailable("the kernel has no Landlock, or it is not enabled") from None
        raise


def deny_all(keep: KeptFiles = NO_FILES) -> str:
    """Deny all that the kernel's version can deny, but the files to keep; return what, and for which threads.

    Before version 8 only this thread is restricted, and those that it starts.
    """
    found = version()
    running = threads() - 1
    files = 0
    for since, rights in FILE_RIGHTS.items():
        if found >= since:
            files |= rights
    ruleset = Ruleset(files, NETWORK_RIGHTS if found >= 4 else 0, SCOPES if found >= 6 else 0)
    size = 24 if found >= 6 else 16 if found >= 4 else 8
    pointer = ctypes.cast(ctypes.byref(ruleset), ctypes.c_void_p)
    descriptor = system_call(CREATE_RULESET, pointer, size, 0)
    try:
        _keep(descriptor, keep.read, READ_FILE | READ_DIR, files)
        written = _keep(descriptor, keep.write, READ_FILE | READ_DIR | WRITE, files)
        kept = _keep(descriptor, keep.devices, READ_FILE | WRITE_FILE | READ_DIR | IOCTL_DEV, files)
        system_call(RESTRICT_SELF, descriptor, ALL_THREADS if found >= 8 else 0)
    finally:
        os.close(descriptor)
    others = [*(["libraries"] if keep.read else []), *([f"{kept} devices"] if keep.devices else [])]
    others += [f"{written} folders"] if keep.write else []
    covered = [
        f"files but {' and '.join(others)}" if others else "files",
        *(["tcp"] if found >= 4 else []),
        *(["signals", "abstract sockets"] if found >= 6 else []),
    ]
    whom = "all threads" if found >= 8 or not running else f"new threads, not the {running} that ran before"
    return f"version {found}: no {', '.join(covered)}, for {whom}"


def _keep(ruleset: int, paths: Iterable[Path], wanted: int, known: int) -> int:
    """Add a rule for each path that is there; return how many. A rule for a file has no rights over folders."""
    count = 0
    for path in paths:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            rule = PathRule(wanted & known & ~(0 if folder else READ_DIR), descriptor)
            system_call(ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.cast(ctypes.byref(rule), ctypes.c_void_p), 0)
            count += 1
        finally:
            os.close(descriptor)
    return count


def threads() -> int:
    """Return the number of threads of this process."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208
