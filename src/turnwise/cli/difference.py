"""Differences between two values: the first differing place of two texts, and the changes of a state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from turnwise.cli.text import shorten
from turnwise.visible_text import visible

AROUND_CHARS_MAX = 32
"""Characters on each side of the place: with the label before them they fit a line of 80 columns."""
VALUE_CHARS_MAX = 160
CHANGES_MAX = 40
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Place:
    """Two texts cut to where they first differ."""

    expected: str
    """Cut of the first text."""
    actual: str
    """Cut of the second."""
    column: int
    """Differing place in both cuts."""
    offset: int
    """Differing place in the texts."""


def first_place(expected: object, actual: object) -> Place:
    """The first place in which two unequal values differ, as shown: texts as they are, others as JSON."""
    left, right = as_text(expected), as_text(actual)
    if left == right:  # such as 1 and 1.0: equal to the eye, and not equal
        left, right = repr(expected), repr(actual)
    offset = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    start = max(0, offset - AROUND_CHARS_MAX)
    before = visible(left[start:offset])
    head = ("…" if start else "") + before
    return Place(head + _cut(left, offset), head + _cut(right, offset), len(head), offset)


def _cut(text: str, offset: int) -> str:
    rest = text[offset : offset + AROUND_CHARS_MAX]
    return visible(rest) + ("…" if len(text) > offset + AROUND_CHARS_MAX else "")


def as_text(value: object) -> str:
    """Return a value as one reads it: text as it is, anything else as JSON where it can be."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return repr(value)


@dataclass(frozen=True, slots=True)
class Change:
    """Change of one value in a state."""

    sign: str
    """`+` (new), `-` (gone) or `~` (another value)."""
    where: str
    """Path of the value in the state; empty for the whole."""
    before: str | None
    """Value before, as shown; None if there was none."""
    after: str | None
    """Value after, as shown; None if there is none."""

    def __str__(self) -> str:
        name = f"{self.where}: " if self.where else ""
        if self.before is None or self.after is None:
            return f"{name}{self.after if self.before is None else self.before}"
        return f"{name}{self.before} → {self.after}"


def changes(before: str, after: str) -> list[Change]:
    """Changes from one state to the next: key by key where both are JSON, else as a whole. At most CHANGES_MAX."""
    if before == after:
        return []
    try:
        left, right = json.loads(before) if before else _NOTHING, json.loads(after) if after else _NOTHING
        found = list(islice(_walk("", left, right), CHANGES_MAX + 1))
    except (ValueError, RecursionError):
        return [Change("~", "", _short(json.dumps(before)), _short(json.dumps(after)))]
    if len(found) > CHANGES_MAX:
        found[CHANGES_MAX:] = [Change("~", "", None, "… and more")]
    return found


def _walk(where: str, before: object, after: object) -> Iterator[Change]:
    if before is _NOTHING or after is _NOTHING:
        if before is not after:
            yield from _one_sided(where, before, after)
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *[key for key in after if key not in before]]:
            path = f"{where}.{key}" if where else str(key)
            yield from _walk(path, before.get(key, _NOTHING), after.get(key, _NOTHING))
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            left = before[index] if index < len(before) else _NOTHING
            right = after[index] if index < len(after) else _NOTHING
            yield from _walk(f"{where}[{index}]", left, right)
    elif before != after or type(before) is not type(after):
        yield Change("~", where, _json(before), _json(after))


def _one_sided(where: str, before: object, after: object) -> Iterator[Change]:
    """A value that was not there before, or is not there any more. A whole object, key by key."""
    value, sign = (after, "+") if before is _NOTHING else (before, "-")
    if isinstance(value, dict) and value and not where:
        for key, item in value.items():
            yield _sided(sign, str(key), item)
    else:
        yield _sided(sign, where, value)


def _sided(sign: str, where: str, value: object) -> Change:
    text = _json(value)
    return Change(sign, where, None, text) if sign == "+" else Change(sign, where, text, None)


def _json(value: object) -> str:
    return _short(json.dumps(value, ensure_ascii=False))


def _short(text: str) -> str:
    return shorten(text, VALUE_CHARS_MAX)
