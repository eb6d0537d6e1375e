"""Arguments and states: JSON values that the user wrote, checked before they become canonical text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time

from turnwise.core.canonical import canonical
from turnwise.world.limits import INTEGER_MAX, JSON_DEPTH_MAX
from turnwise.world.problems import KeyPath, Problems, said

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
"""An argument or a state: in Python any mapping and sequence will do, and TOML's tables and lists are some."""

Fault = tuple[KeyPath, str, str]
"""(place below the value, message, hint)"""


def to_text(value: object, path: KeyPath, problems: Problems, bytes_max: int) -> str | None:
    """Return the canonical JSON text of a value, or None after its faults have been reported."""
    faults = list(_faults(value, (), 0))
    for below, message, hint in faults:
        problems.add((*path, *below), message, hint)
    if faults:
        return None
    text = canonical(_plain(value))
    size = len(text) if text.isascii() else len(text.encode())
    if size > bytes_max:
        problems.add(
            path, f"is {size} bytes of JSON", f"At most {bytes_max} bytes are allowed: send large data as messages."
        )
        return None
    return text


def _faults(value: object, path: KeyPath, depth: int) -> Iterator[Fault]:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        if not value.isascii() and not _encodable(value):
            yield path, "holds a surrogate that stands alone", "Remove it: texts must be encodable as UTF-8."
    elif isinstance(value, int):
        if not -INTEGER_MAX - 1 <= value <= INTEGER_MAX:
            yield path, f"is {said(value)}, beyond 64 bits", "Write it as a text in quotes, or as a float."
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, f"is {value}, which JSON cannot say", "Write a finite number, or leave the key out."
    elif isinstance(value, Mapping | list | tuple):
        if depth == JSON_DEPTH_MAX:
            yield path, f"is nested deeper than {JSON_DEPTH_MAX} levels", "Make it flatter."
            return
        if isinstance(value, Mapping):
            yield from _mapping_faults(value, path, depth)
        else:
            for index, item in enumerate(value):
                yield from _faults(item, (*path, index), depth + 1)
    elif isinstance(value, date | datetime | time):
        yield path, "is a date or time, which JSON cannot say", f'Write it as a text in quotes: "{value.isoformat()}".'
    else:
        yield path, f"is {said(value)}, which JSON cannot say", "Use texts, numbers, booleans, lists and tables."


def _mapping_faults(value: Mapping[object, object], path: KeyPath, depth: int) -> Iterator[Fault]:
    for key, item in value.items():
        if not isinstance(key, str):
            yield path, f"has a key that is {said(key)}", "Keys are texts: write them in quotes."
        elif not _encodable(key):
            yield path, "has a key with a surrogate that stands alone", "Remove it: texts must be encodable as UTF-8."
        else:
            yield from _faults(item, (*path, key), depth + 1)


def _plain(value: object) -> object:
    """Return the same value in the types that the encoder knows: mappings that are no dicts become dicts."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
