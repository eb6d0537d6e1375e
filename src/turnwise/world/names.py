"""Names of kinds, agents, groups and models, and patterns over them.

The rule for names is the core's, since agents that are spawned are named by it too: ASCII, so that names that look
equal are equal, and nothing that means something in a pattern, a path or a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from turnwise.core.grants import pattern
from turnwise.core.plan import NAME_RULE, OUTSIDE, valid_name

_PATTERN: Final = re.compile(r"[A-Za-z0-9._*?-]{1,64}")

NAME_HINT: Final = f"A name is {NAME_RULE}, all of them ASCII."
RESERVED_HINT: Final = f'"{OUTSIDE}" is the sender of messages that come from outside the run.'


def fault(name: str) -> tuple[str, str] | None:
    """Return what is wrong with a name, as message and hint; None if it is good."""
    if valid_name(name):
        return None
    if name == OUTSIDE:
        return "is reserved", f"Choose another name. {RESERVED_HINT}"
    return "is not a name", NAME_HINT


def matcher(entry: str) -> Callable[[str], object] | None:
    """The function by which a run, too, tells whether a pattern covers a name; None if it is no pattern of names."""
    return pattern(entry).fullmatch if _PATTERN.fullmatch(entry) else None
