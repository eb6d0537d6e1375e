"""Positions of schemas in a JSON schema, so that what only looks like one (in `enum`, `const`, …) is left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

ONE: Final = frozenset({"additionalProperties", "items", "not", "if", "then", "else", "contains", "propertyNames"})
MANY: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
JOINING: Final = ("allOf", "anyOf", "oneOf", "$ref")


def changed(schema: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the schema with every schema directly in it changed."""
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in MANY and isinstance(value, list):
            found[key] = [change(item) for item in value]
        elif key in NAMED and isinstance(value, dict):
            found[key] = {name: change(item) for name, item in value.items()}
        else:
            found[key] = change(value) if key in ONE else value
    return found


def schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield this schema and all in it that are objects."""
    if not isinstance(schema, dict):
        return
    yield schema
    for key, value in schema.items():
        if key in MANY and isinstance(value, list):
            for item in value:
                yield from schemas(item)
        elif key in NAMED and isinstance(value, dict):
            for item in value.values():
                yield from schemas(item)
        elif key in ONE:
            yield from schemas(value)


def names(schema: dict[str, Any]) -> tuple[str, ...]:
    """Return the names that a schema of an object lists: those of `required`, then the others of `properties`."""
    properties, required = schema.get("properties"), schema.get("required")
    first = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    rest = properties if isinstance(properties, dict) else {}
    return tuple(dict.fromkeys([*first, *rest]))
