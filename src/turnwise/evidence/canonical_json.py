"""Canonical JSON of RFC 8785 (JCS), for values that need no numbers but whole ones that every reader holds exactly."""

from __future__ import annotations

import json
from typing import Any, Final

INTEGER_MAX: Final = 2**53 - 1
"""Largest whole number that a reader whose numbers are doubles holds exactly."""

DEPTH_MAX: Final = 100


def canonical_json(value: object) -> bytes:
    """The bytes of a value made of objects, arrays, texts, whole numbers, booleans and null.

    Raises ValueError for what has none: fractions, numbers beyond `INTEGER_MAX`, lone surrogates, too deep a nesting.
    """
    return _text(value, 0).encode()


def parse(content: bytes) -> Any:
    """The value whose canonical bytes these are. Raises ValueError for any others."""
    try:
        value = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if canonical_json(value) != content:
        raise ValueError("not canonical JSON")
    return value


def _text(value: object, depth: int) -> str:
    if depth > DEPTH_MAX:
        raise ValueError(f"nested deeper than {DEPTH_MAX}")
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise ValueError(f"{value} is a number that not every reader holds exactly")
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join([_text(item, depth + 1) for item in value]) + "]"
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a key is not a text")
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join([f"{_text(key, depth)}:{_text(value[key], depth + 1)}" for key in keys]) + "}"
    raise ValueError(f"{type(value).__name__} has no canonical JSON")
