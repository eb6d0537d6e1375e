"""Resource limits of a confined process. They cannot be raised again, since soft and hard limit are the same.

Only processor time has a hard limit above the soft one: beyond the soft one a process gets SIGXCPU, which tells it from
processes that somebody else killed.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    import resource

from turnwise.confine.measure import ProcessNeeds, Unavailable

CPU_S_ABOVE = 5
"""Processor time between the signal that says that the limit is reached and the end."""


def lower(needs: ProcessNeeds) -> str:
    """Lower the limits and return their names and values. Raises `Unavailable` where there are none."""
    if sys.platform == "win32":
        raise Unavailable("Windows has no resource limits of this kind")
    wanted: dict[str, int | None] = {
        "CORE": 0,
        "FSIZE": 0,
        "MEMLOCK": None if needs.locked_memory else 0,
        "MSGQUEUE": 0,
        "NOFILE": needs.files_max,
        "NPROC": None if needs.threads else 0,
        "AS": needs.address_bytes_max,
        "CPU": needs.cpu_s_max,
    }
    lowered = []
    for name, value in wanted.items():
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is None or value is None:
            continue
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        above = value + CPU_S_ABOVE if name == "CPU" else value
        try:
            resource.setrlimit(number, (value, above if hard == resource.RLIM_INFINITY else min(above, hard)))
        except (OSError, ValueError):
            continue  # macOS refuses some; the report names those that hold
        lowered.append(f"{name.lower()}={value}")
    return ", ".join(lowered)
