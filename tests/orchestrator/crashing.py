"""The beginning of programs that kill themselves at a crash point, given as their first two arguments."""

from __future__ import annotations

import textwrap

KILLED_AT = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    import turnwise
    from turnwise.orchestrator import crash_points

    point, number = sys.argv[1], int(sys.argv[2])
    seen = 0

    def tell(reached):
        global seen
        if reached == point:
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    crash_points.tell_of_points(tell)
    """
)
"""Kills its process when `point` (argument 1) has been reached for the `number`-th time (argument 2)."""
