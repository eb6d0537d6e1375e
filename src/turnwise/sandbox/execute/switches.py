"""Switches for the faster ways of executing core modules.

No outcome, amount of fuel or text depends on them: they are there for machines on which one of the ways fails, and for
tests, which try every way. Each is on, unless a variable of the environment says `off`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from turnwise.errors import UsageError

C_LIBRARY = "TURNWISE_C_LIBRARY"
POOL = "TURNWISE_POOL"
ON, OFF = "on", "off"


@dataclass(frozen=True, slots=True)
class Switches:
    """Ways of executing core modules that are allowed."""

    c_library: bool = True
    """True if wasmtime's C library is called directly."""
    pool: bool = True
    """True if instances live in memory that is reserved once."""

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Switches:
        """Read them from variables. Raises `UsageError`."""
        return cls(c_library=_read(environment, C_LIBRARY), pool=_read(environment, POOL))

    def environment(self) -> dict[str, str]:
        """Return the variables that `of_environment` reads them from, for a child process."""
        return {C_LIBRARY: ON if self.c_library else OFF, POOL: ON if self.pool else OFF}


ALL_ON = Switches()
ALL_OFF = Switches(c_library=False, pool=False)


def _read(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, ON)
    if value not in (ON, OFF):
        raise UsageError(
            "an environment variable has a value that it cannot have",
            where=name,
            expected=f"{ON} or {OFF}",
            actual=value,
            hint=f"Unset {name}, or set it to {OFF}.",
        )
    return value == ON
