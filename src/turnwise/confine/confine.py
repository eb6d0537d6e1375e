"""All measures of confinement in their order, and a report of those that hold. None can be taken back."""

from __future__ import annotations

import sys
from collections.abc import Callable

from turnwise.confine import landlock, limits, privileges, reaching_out, seccomp
from turnwise.confine.landlock import NO_FILES, KeptFiles
from turnwise.confine.measure import Measure, ProcessNeeds, Unavailable


def give_up_files(keep: KeptFiles = NO_FILES) -> tuple[Measure, ...]:
    """First half: no new privileges and no files but those to keep, for this thread and those that it starts later.

    To be called by the first thread, when the process has imported and opened all that it needs.
    """
    return (_take("no_new_privileges", privileges.give_up), _take("landlock", lambda: landlock.deny_all(keep)))


def give_up_calls(needs: ProcessNeeds) -> tuple[Measure, ...]:
    """Second half: resource limits and the list of system calls, for all threads. To be called when they all run."""
    calls = reaching_out.deny if needs.driver else lambda: seccomp.allow_only(needs)
    return (_take("limits", lambda: limits.lower(needs)), _take("seccomp", calls))


def _take(name: str, measure: Callable[[], str]) -> Measure:
    try:
        return Measure(name, True, measure())
    except Unavailable as reason:
        return Measure(name, False, str(reason))
    except OSError as error:
        return Measure(name, False, f"{sys.platform}: {error}")
