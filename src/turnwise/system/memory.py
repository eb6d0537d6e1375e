"""The memory of this process: the machine's, or less in a container.

Linux limits a container by control groups (cgroup), of which there are two versions, at times both at once. A process
is in a path of groups, `/proc/self/cgroup` says which, and each group of the path may have a limit. In a container that
path can be the host's, while only the container's own part of it is to be seen: then the parts that are there count.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

MEMORY_BYTES_ASSUMED: Final = 8 * 1024**3
"""Size of memory that is assumed where the system does not say."""

UNLIMITED_BYTES_MIN: Final = 2**60
"""The first version of control groups writes a number near 2**63 for "no limit"."""


def memory_bytes(root: Path = Path("/")) -> int:
    """Memory that this process may have: the machine's, or the limit of its control group if that is less.

    `root` is the folder in which `proc` and `sys` lie.
    """
    machine = machine_memory_bytes()
    limit = group_limit_bytes(root)
    return machine if limit is None else min(machine, limit)


def machine_memory_bytes() -> int:
    """Memory of the machine; `MEMORY_BYTES_ASSUMED` where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return MEMORY_BYTES_ASSUMED


def group_limit_bytes(root: Path = Path("/")) -> int | None:
    """Return the smallest memory limit of the control groups that this process is in; None without any."""
    limits = [limit for file in _limit_files(root) if (limit := _read(file)) is not None]
    return min(limits, default=None)


def _limit_files(root: Path) -> Iterator[Path]:
    """Files that may hold a limit: of each group from the process's own up to the root."""
    mount = root / "sys" / "fs" / "cgroup"
    for line in _lines(root / "proc" / "self" / "cgroup"):
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            bases, name = (mount, mount / "unified"), "memory.max"
        elif "memory" in controllers.split(","):
            bases, name = (mount / "memory", mount / controllers), "memory.limit_in_bytes"
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        if ".." in group.parts:  # a group outside the namespace: only what is below it is to be seen
            group = PurePosixPath()
        for base in bases:
            for folder in (group, *group.parents):
                yield base / folder / name


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _read(path: Path) -> int | None:
    text = "".join(_lines(path)).strip()
    if not (text.isascii() and text.isdecimal()) or len(text) > 20:
        return None
    return limit if (limit := int(text)) < UNLIMITED_BYTES_MIN else None
