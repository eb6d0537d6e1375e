"""Words and texts of the command line: shortened, counted, or as JSON."""

from __future__ import annotations

import json

SHORT_CHARS_MAX = 200


def shorten(text: str, chars_max: int = SHORT_CHARS_MAX) -> str:
    """Return the text, or its beginning and its length."""
    if len(text) <= chars_max:
        return text
    return f"{text[:chars_max]}… ({len(text):,} characters)"


def last_line(text: str) -> str:
    """Return the last line with anything in it: what a traceback ends with."""
    return text.rstrip().rpartition("\n")[2]


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 turn`, `2 turns`, `12,000 turns`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def json_text(value: object) -> str:
    """Return a value as JSON text of ASCII alone, so that no terminal and no encoding can make anything else of it."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(", ", ": ")).replace("\x7f", "\\u007f")
