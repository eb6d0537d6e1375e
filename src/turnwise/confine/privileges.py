"""No new privileges: what this process starts has no more rights than it. Landlock and seccomp require the flag."""

from __future__ import annotations

from turnwise.confine.system import machine, prctl

PR_SET_NO_NEW_PRIVS = 38


def give_up() -> str:
    """Set the flag, for good. Raises `Unavailable` or `OSError`."""
    machine()
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    return "set"
