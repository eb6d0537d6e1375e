"""JSON Schema, as much of it as answers of people are checked with.

The keywords are a closed list: a schema with another one is refused when it is asked with, so nothing is accepted that
a schema forbids. Both checks are part of outcomes, so they are here, without a library whose next version may decide
otherwise. Patterns are not in the list: an agent could give one that takes for ever. Everything is counted: a schema's
parts, and the steps that a value takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from turnwise.core.canonical import canonical

PARTS_MAX: Final = 2_000
"""Schemas in one schema."""

DEPTH_MAX: Final = 32
"""Schemas inside each other."""

STEPS_MAX: Final = 200_000
"""Comparisons that one answer takes at most; what needs more is no answer."""

_SHOWN_CHARS: Final = 120

ANNOTATIONS: Final = frozenset(
    {
        "$schema",
        "$id",
        "$comment",
        "title",
        "description",
        "default",
        "examples",
        "format",
        "deprecated",
        "readOnly",
        "writeOnly",
    }
)
"""Keywords that say something to people, and forbid nothing here."""

_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": lambda value: _is_number(value),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
_WORDS: Final = {
    "null": "null",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "an object",
}
_ONE: Final = ("additionalProperties", "items", "not")
_LISTS: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED: Final = ("properties", "$defs", "definitions")
_COUNTS: Final = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_REFERENCES: Final = ("#/$defs/", "#/definitions/")


class _TooMuchError(Exception):
    """A value takes more steps than are counted."""


# -- schemas -----------------------------------------------------------------------------------------------------


def schema_problem(schema: Any) -> str | None:
    """Return what is wrong with a schema; None if answers can be checked with it."""
    for count, (part, depth) in enumerate(_parts(schema, 0), 1):
        if count > PARTS_MAX or depth > DEPTH_MAX:
            return f"it has more than {PARTS_MAX:,} parts, or more than {DEPTH_MAX} inside each other"
        if not isinstance(part, dict | bool):
            return f"a schema is an object, true or false, not {_shown(part)}"
        if isinstance(part, dict) and (problem := _part_problem(part, schema)) is not None:
            return problem
    return None


def _parts(schema: Any, depth: int) -> Iterator[tuple[Any, int]]:
    """Yield a schema and all inside, each with its depth; none below the bound."""
    yield schema, depth
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return
    for key, value in schema.items():
        if key in _ONE:
            yield from _parts(value, depth + 1)
        elif key in _LISTS and isinstance(value, list):
            for item in value:
                yield from _parts(item, depth + 1)
        elif key in _NAMED and isinstance(value, dict):
            for item in value.values():
                yield from _parts(item, depth + 1)


def _part_problem(part: dict[str, Any], root: Any) -> str | None:
    for key, value in part.items():
        known = _KNOWN.get(key)
        if known is None:
            if key not in ANNOTATIONS:
                return f"the keyword {key[:60]!r} is not one that answers are checked with"
        elif not known(value):
            return f"{key} cannot be {_shown(value)}"
    reference = part.get("$ref")
    if reference is not None and _target(reference, root) is None:
        return f"$ref {reference[:60]!r} leads nowhere: it must be #/$defs/NAME"
    return None


def _target(reference: str, root: Any) -> Any:
    """The schema that a reference leads to; None if there is none."""
    for start in _REFERENCES:
        if reference.startswith(start) and isinstance(root, dict):
            name = reference[len(start) :].replace("~1", "/").replace("~0", "~")
            return root.get(start[2:-1], {}).get(name)
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_anything(_value: Any) -> bool:
    return True


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is str for item in value)


def _is_types(value: Any) -> bool:
    names = value if isinstance(value, list) and value else [value]
    return all(type(name) is str and name in _TYPES for name in names)


_KNOWN: Final[Mapping[str, Callable[[Any], bool]]] = {
    "type": _is_types,
    "enum": lambda value: isinstance(value, list) and bool(value),
    "const": _is_anything,
    "required": _is_texts,
    "uniqueItems": lambda value: type(value) is bool,
    "multipleOf": lambda value: type(value) is int and value > 0,
    "$ref": lambda value: type(value) is str,
    **dict.fromkeys(_COUNTS, _is_count),
    **dict.fromkeys(_BOUNDS, _is_number),
    **dict.fromkeys(_ONE, _is_anything),  # looked at as schemas of their own
    **dict.fromkeys(_LISTS, lambda value: isinstance(value, list) and bool(value)),
    **dict.fromkeys(_NAMED, lambda value: isinstance(value, dict)),
}


# -- values ------------------------------------------------------------------------------------------------------


def violation(value: Any, schema: Any) -> str | None:
    """Return what of a JSON value does not follow a schema that has no problem; None if all does."""
    try:
        return _Check(schema).of(value, schema, "", 0)
    except _TooMuchError:
        return f"it takes more than {STEPS_MAX:,} steps to check it"


class _Check:
    """One check of a value, which counts its steps."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._steps = 0

    def _step(self, count: int = 1) -> None:
        self._steps += count
        if self._steps > STEPS_MAX:
            raise _TooMuchError

    def of(self, value: Any, schema: Any, where: str, depth: int) -> str | None:
        """Find the first thing that is wrong with a value at a place."""
        self._step()
        if depth > 4 * DEPTH_MAX:  # of references that lead to themselves
            raise _TooMuchError
        if isinstance(schema, bool):
            return None if schema else _at(where, "nothing may be here")
        return (
            self._itself(value, schema, where)
            or self._joined(value, schema, where, depth)
            or self._list(value, schema, where, depth)
            or self._object(value, schema, where, depth)
        )

    def _itself(self, value: Any, schema: dict[str, Any], where: str) -> str | None:
        kinds = schema.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if kinds and not any(_TYPES[kind](value) for kind in kinds):
            return _at(where, f"must be {' or '.join(_WORDS[kind] for kind in kinds)}, not {_shown(value)}")
        if "enum" in schema and not any(self._equal(value, item) for item in schema["enum"]):
            choices = ", ".join(_shown(item) for item in schema["enum"][:20])
            return _at(where, f"must be one of {choices}, not {_shown(value)}")
        if "const" in schema and not self._equal(value, schema["const"]):
            return _at(where, f"must be {_shown(schema['const'])}, not {_shown(value)}")
        if isinstance(value, str):
            return _counted(len(value), schema, "Length", "characters", where)
        return _bounded(value, schema, where) if _is_number(value) else None

    def _joined(self, value: Any, schema: dict[str, Any], where: str, depth: int) -> str | None:
        for item in schema.get("allOf", ()):
            if (found := self.of(value, item, where, depth + 1)) is not None:
                return found
        for key, most in (("anyOf", PARTS_MAX), ("oneOf", 1)):
            if key in schema:
                found_all = [self.of(value, item, where, depth + 1) for item in schema[key]]
                if found_all.count(None) > most:
                    return _at(where, f"fits several of the {len(found_all)} forms, and must fit one")
                if None not in found_all:
                    return next(iter(found_all))
        if "not" in schema and self.of(value, schema["not"], where, depth + 1) is None:
            return _at(where, f"cannot be {_shown(value)}")
        if "$ref" in schema:
            return self.of(value, _target(schema["$ref"], self._root), where, depth + 1)
        return None

    def _list(self, value: Any, schema: dict[str, Any], where: str, depth: int) -> str | None:
        if not isinstance(value, list):
            return None
        if (found := _counted(len(value), schema, "Items", "items", where)) is not None:
            return found
        first = schema.get("prefixItems", [])
        for place, item in enumerate(value):
            inner = first[place] if place < len(first) else schema.get("items", True)
            if (found := self.of(item, inner, f"{where}[{place}]", depth + 1)) is not None:
                return found
        if schema.get("uniqueItems"):
            for place, item in enumerate(value):
                if any(self._equal(item, other) for other in value[:place]):
                    return _at(f"{where}[{place}]", "is there already")
        return None

    def _object(self, value: Any, schema: dict[str, Any], where: str, depth: int) -> str | None:
        if not isinstance(value, dict):
            return None
        for name in schema.get("required", ()):
            if name not in value:
                return _at(where, f"lacks {name[:60]!r}")
        if (found := _counted(len(value), schema, "Properties", "members", where)) is not None:
            return found
        known = schema.get("properties", {})
        for name, item in value.items():
            inner = known[name] if name in known else schema.get("additionalProperties", True)
            if inner is False:
                return _at(where, f"cannot have {name[:60]!r}")
            place = f"{where}.{name[:60]}" if where else name[:60]
            if (found := self.of(item, inner, place, depth + 1)) is not None:
                return found
        return None

    def _equal(self, one: Any, other: Any) -> bool:
        """Compare two JSON values; 1 and 1.0 are one number, and true is none."""
        self._step()
        if isinstance(one, list) and isinstance(other, list):
            return len(one) == len(other) and all(map(self._equal, one, other))
        if isinstance(one, dict) and isinstance(other, dict):
            return one.keys() == other.keys() and all(self._equal(one[name], other[name]) for name in one)
        if _is_number(one) and _is_number(other):
            return bool(one == other)
        return type(one) is type(other) and bool(one == other)


def _counted(count: int, schema: dict[str, Any], of: str, words: str, where: str) -> str | None:
    least, most = schema.get(f"min{of}"), schema.get(f"max{of}")
    if least is not None and count < least:
        return _at(where, f"must have at least {least:,} {words}, and has {count:,}")
    if most is not None and count > most:
        return _at(where, f"must have at most {most:,} {words}, and has {count:,}")
    return None


def _bounded(value: Any, schema: dict[str, Any], where: str) -> str | None:
    bounds: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
        ("minimum", "at least", lambda bound: value >= bound),
        ("maximum", "at most", lambda bound: value <= bound),
        ("exclusiveMinimum", "more than", lambda bound: value > bound),
        ("exclusiveMaximum", "less than", lambda bound: value < bound),
        ("multipleOf", "a multiple of", lambda bound: value % bound == 0),
    )
    for key, words, holds in bounds:
        if key in schema and not holds(schema[key]):
            return _at(where, f"must be {words} {_shown(schema[key])}, not {_shown(value)}")
    return None


def _at(where: str, what: str) -> str:
    return f"{where} {what}" if where else f"it {what}"


def _shown(value: Any) -> str:
    try:
        text = canonical(value)
    except ValueError:
        text = type(value).__name__
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
