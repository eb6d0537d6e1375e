"""All measures of confinement in their order, and a report of those that hold. None can be taken back."""

from __future__ import annotations

import sys
from collections.abc import Callable

from turnwise.confine import landlock, limits, privileges, seccomp
from turnwise.confine.measure import Measure, ProcessNeeds, Unavailable


def give_up_files() -> tuple[Measure, ...]:
    """First half: no new privileges and no files, for the calling thread and those that it starts later.

    To be called by the first thread, when the process has imported and opened all that it needs.
    """
    return (_take("no_new_privileges", privileges.give_up), _take("landlock", landlock.deny_all))


def give_up_calls(needs: ProcessNeeds) -> tuple[Measure, ...]:
    """Second half: resource limits and the list of system calls, for all threads. To be called when they all run."""
    return (_take("limits", lambda: limits.lower(needs)), _take("seccomp", lambda: seccomp.allow_only(needs)))


def _take(name: str, measure: Callable[[], str]) -> Measure:
    try:
        return Measure(name, True, measure())
    except Unavailable as reason:
        return Measure(name, False, str(reason))
    except OSError as error:
        return Measure(name, False, f"{sys.platform}: {error}")
