"""Languages whose agents are the input of an interpreter."""

from __future__ import annotations

from typing import Final, Literal

InterpretedLanguage = Literal["python", "javascript"]
"""A language whose agents are the input of an interpreter."""

TITLES: Final[dict[InterpretedLanguage, str]] = {"python": "Python", "javascript": "JavaScript"}


def interpreted(language: str) -> InterpretedLanguage | None:
    """Return the language, if it is one whose agents are the input of an interpreter; else None."""
    return next((name for name in TITLES if name == language), None)
