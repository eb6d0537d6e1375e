"""Schemas of tools in words: parameters with their types, and what a tool gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from turnwise.cli.text import json_text, shorten

TYPE_CHARS_MAX: Final = 120
PARTS_MAX: Final = 8
"""Types of a union, or members of an object, that are named."""
DEPTH_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Parameter:
    """Parameter of a tool, as its schema has it."""

    name: str
    """Name."""
    words: str
    """Type in words, and the default, if it has one."""
    description: str
    """Description by the server; untrusted text."""


def parameters(schema: object) -> Iterator[Parameter]:
    """Yield the parameters of a tool, those that must be given first."""
    if not isinstance(schema, Mapping) or not isinstance(properties := schema.get("properties"), Mapping):
        return
    wanted = schema.get("required")
    required = set(wanted) if isinstance(wanted, list) and all(isinstance(name, str) for name in wanted) else set()
    for name, part in sorted(properties.items(), key=lambda item: item[0] not in required):
        about = part if isinstance(part, Mapping) else {}
        words = type_words(part, schema)
        if "default" in about:
            words += f" = {shorten(json_text(about['default']), TYPE_CHARS_MAX)}"
        elif name not in required:
            words += ", may be left out"
        description = about.get("description")
        yield Parameter(str(name), words, description if isinstance(description, str) else "")


def type_words(schema: object, root: object, depth: int = DEPTH_MAX) -> str:
    """Return a type in words: `integer`, `list of text`, `"fast" | "slow"`; `any` for what says nothing."""
    return shorten(_words(schema, root, depth), TYPE_CHARS_MAX)


def _words(schema: object, root: object, depth: int) -> str:
    if not isinstance(schema, Mapping):
        return "any"
    if depth <= 0:
        return "…"
    match schema:
        case {"$ref": str(reference)}:
            return _words(_target(reference, root), root, depth - 1)
        case {"const": value}:
            return json_text(value)
        case {"enum": list(values)}:
            return _joined([json_text(value) for value in values[: PARTS_MAX + 1]])
        case {"anyOf": list(parts)} | {"oneOf": list(parts)}:
            return _joined([_words(part, root, depth - 1) for part in parts[: PARTS_MAX + 1]])
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return _joined([_kind(kind, schema, root, depth) for kind in kinds[: PARTS_MAX + 1]])
    return _kind(kinds, schema, root, depth)


def _kind(kind: object, schema: Mapping[str, Any], root: object, depth: int) -> str:
    match kind:
        case "string":
            return "text"
        case "array":
            items = schema.get("items")
            return f"list of {_words(items, root, depth - 1)}" if isinstance(items, Mapping) else "list"
        case "object":
            properties = schema.get("properties")
            names = [str(name) for name in list(properties)[: PARTS_MAX + 1]] if isinstance(properties, Mapping) else []
            more = ", …" if len(names) > PARTS_MAX else ""
            return f"object ({', '.join(names[:PARTS_MAX])}{more})" if names else "object"
        case str():
            return kind
    return "any"


def _joined(parts: Sequence[str]) -> str:
    kept = [*parts[:PARTS_MAX], *(["…"] if len(parts) > PARTS_MAX else [])]
    return " | ".join(kept) or "any"


def _target(reference: str, root: object) -> object:
    name = reference.removeprefix("#/$defs/")
    parts = root.get("$defs") if isinstance(root, Mapping) else None
    return parts.get(name) if isinstance(parts, Mapping) and name != reference else None
