"""Limits of what a JSON schema may hold before it becomes a grammar.

llguidance's own bounds do not bound everything: a `multipleOf` of a million takes a minute, and patterns that one text
must match all of take for ever. What is refused here is counted, so it is refused at the same place everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from turnwise.inference.requests.refusal import Refusal

MULTIPLE_OF_MAX: Final = 10_000
"""The product of a schema's `multipleOf`s, in units of its finest decimal: an automaton of so many states."""
SCHEMA_DEPTH_MAX: Final = 64
PATTERN_CHARS_MAX: Final = 4_096
"""All patterns of a schema together."""
PATTERNS_COMBINED_MAX: Final = 4
"""Different patterns of a schema in which one text may have to match several: each more can cost fourteen times as
much (5 of ten optional classes took 0.4 s, 6 took 5 s, 7 no one has waited for)."""
ANNOTATIONS: Final = frozenset(
    {"$defs", "definitions", "$schema", "$id", "title", "description", "default", "examples"}
)


def check_schema(schema: Any) -> None:
    """Refuse what costs more than its size says, and what would make another language of JSON."""
    if isinstance(schema, dict) and "x-guidance" in schema:
        raise Refusal("refused", "json_schema has x-guidance, which is not supported")
    multiples: set[Decimal] = set()
    patterns: list[str] = []
    for key, value in _members(schema):
        if key == "multipleOf" and type(value) in (int, float):
            multiples.add(Decimal(str(value)))
        elif key == "pattern" and isinstance(value, str):
            patterns.append(value)
        elif key == "patternProperties" and isinstance(value, dict):
            patterns += value
    if len(set(patterns)) > PATTERNS_COMBINED_MAX and _combines(schema):
        raise Refusal(
            "refused",
            f"json_schema has {len(set(patterns))} patterns, and one text may have to match several (allOf, or $ref, "
            f"anyOf or oneOf beside other keys): at most {PATTERNS_COMBINED_MAX} are allowed there",
        )
    pattern_chars = sum(map(len, patterns))
    if pattern_chars > PATTERN_CHARS_MAX:
        raise Refusal(
            "refused",
            f"json_schema has patterns of {pattern_chars} characters in all, at most {PATTERN_CHARS_MAX} are allowed",
        )
    finest = min((int(value.as_tuple().exponent) for value in multiples), default=0)
    product = Decimal(1)
    for value in multiples:
        product *= value.scaleb(-min(finest, 0))
    if not product <= MULTIPLE_OF_MAX:
        raise Refusal(
            "refused", f"json_schema has a multipleOf that is too fine: at most {MULTIPLE_OF_MAX} steps are allowed"
        )


def _combines(value: Any) -> bool:
    """Return True if a schema holds one whose parts must all be followed by the same value."""
    if isinstance(value, list):
        return any(_combines(item) for item in value)
    if not isinstance(value, dict):
        return False
    keys = value.keys() - ANNOTATIONS
    joined = "allOf" in keys or (len(keys) > 1 and not keys.isdisjoint(("$ref", "anyOf", "oneOf")))
    return joined or any(_combines(item) for item in value.values())


def _members(value: Any, depth: int = SCHEMA_DEPTH_MAX) -> Iterator[tuple[str, Any]]:
    """Yield all members of all objects in a JSON value."""
    if depth == 0 and isinstance(value, dict | list):
        raise Refusal("refused", f"json_schema is nested deeper than {SCHEMA_DEPTH_MAX} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, item
            yield from _members(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            yield from _members(item, depth - 1)
