"""Members of two plans that differ, named by their path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from turnwise.core.plan_json import plan_to_json
from turnwise.journal import Journal

PLAN_CHANGES_MAX: Final = 100


def plan_changes(left: Journal, right: Journal) -> Iterator[tuple[str, object, object]]:
    """Members of the plans that differ, named by their path."""
    found = _changes("", *(json.loads(plan_to_json(of.header.plan_at())) for of in (left, right)))
    for number, change in enumerate(found):
        if number == PLAN_CHANGES_MAX:
            return
        yield change


def _changes(path: str, left: Any, right: Any) -> Iterator[tuple[str, object, object]]:
    if left == right and type(left) is type(right):
        return
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            yield from _changes(f"{path}.{key}" if path else key, left.get(key), right.get(key))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (mine, other) in enumerate(zip(left, right, strict=True)):
            name = mine.get("name", index) if isinstance(mine, dict) else index
            yield from _changes(f"{path}[{name}]", mine, other)
    else:
        yield path, left, right
