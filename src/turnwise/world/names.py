"""Names of kinds, agents, groups and models, and patterns over them.

ASCII, so that equal-looking names are equal, and nothing that means something in a pattern, a path or a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from turnwise.core.plan import OUTSIDE
from turnwise.world.bounds import NAME_LENGTH_MAX

_NAME: Final = re.compile(rf"[A-Za-z][A-Za-z0-9._-]{{0,{NAME_LENGTH_MAX - 1}}}")
_PATTERN: Final = re.compile(rf"[A-Za-z0-9._*?-]{{1,{NAME_LENGTH_MAX}}}")
_WILD: Final = {"*": ".*", "?": "."}

NAME_RULE: Final = f"A name is a letter, then letters, digits, -, _ or ., all ASCII, at most {NAME_LENGTH_MAX} in all."
RESERVED_RULE: Final = f'"{OUTSIDE}" is the sender of messages that come from outside the run.'


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def is_pattern(text: str) -> bool:
    """Whether the text is a pattern rather than a name: `*` stands for any characters, `?` for one."""
    return "*" in text or "?" in text


def matcher(pattern: str) -> Callable[[str], object] | None:
    """A function that says whether the pattern matches a name; None if it is no pattern of names."""
    if not _PATTERN.fullmatch(pattern):
        return None
    return re.compile("".join(_WILD.get(character, re.escape(character)) for character in pattern)).fullmatch


def fault(text: str) -> tuple[str, str] | None:
    """What is wrong with a name, as message and hint; None if it is good."""
    if text == OUTSIDE:
        return "is reserved", f"Choose another name. {RESERVED_RULE}"
    if not is_name(text):
        return "is not a name", NAME_RULE
    return None
