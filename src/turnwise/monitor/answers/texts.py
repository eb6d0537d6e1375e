"""Texts of agents and models, cut where they are long."""

from __future__ import annotations

import json
from typing import Any, Final

CHARS_MAX: Final = 4_000
"""Characters of a text in a list."""
CHARS_WHOLE_MAX: Final = 400_000
"""Characters of a text that was asked for alone."""


def shown(text: str, chars_max: int = CHARS_MAX) -> dict[str, Any]:
    """A text, and how many characters of it were left out. The page sees to it that nothing in it acts."""
    return {"text": str(text[:chars_max]), "cut": max(0, len(text) - chars_max)}


def text_of(value: str, members: tuple[str, ...]) -> str:
    """The first of these members that a JSON object has, a text as it is, anything else as JSON; else the whole."""
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return value
    if isinstance(decoded, dict):
        for inner in (decoded, decoded.get("ok"), decoded.get("error")):
            if isinstance(inner, dict):
                for member in members:
                    if member in inner:
                        found = inner[member]
                        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, indent=1)
    return value
