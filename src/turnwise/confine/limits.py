"""Resource limits of a confined process. They cannot be raised again, since soft and hard limit are the same."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    import resource

from turnwise.confine.measure import ProcessNeeds, Unavailable


def lower(needs: ProcessNeeds) -> str:
    """Lower the limits and return their names and values. Raises `Unavailable` where there are none."""
    if sys.platform == "win32":
        raise Unavailable("Windows has no resource limits of this kind")
    wanted: dict[str, int | None] = {
        "CORE": 0,
        "FSIZE": 0,
        "MEMLOCK": 0,
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
        try:
            resource.setrlimit(number, (value, value))
        except (OSError, ValueError):
            continue  # macOS refuses some; the report names those that hold
        lowered.append(f"{name.lower()}={value}")
    return ", ".join(lowered)
