"""Schemas whose values never end, such as a list that must hold a list like itself.

A schema can be finished if some value follows it. Of those that refer to each other that is the least fixed point: none
can be finished until it is shown from others that can.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote

from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.sampling.schema.positions import schemas

WORK_MAX: Final = 1_000_000
"""Schemas that are looked at to find which can be finished."""


class Ends:
    """Analysis of which schemas inside a whole one can be finished."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._work = 0
        self._places = {id(schema) for schema in schemas(root)}
        found = {ref for schema in schemas(root) if isinstance(ref := schema.get("$ref"), str)}
        self._targets = {ref: self._target(ref) for ref in sorted(found)}
        self._known = dict.fromkeys(self._targets, False)
        changed = True
        while changed:
            changed = False
            for ref, target in self._targets.items():
                if not self._known[ref] and self.can_end(target):
                    self._known[ref] = changed = True

    def can_end(self, schema: Any) -> bool:
        """True if a value can follow this schema, as far as its structure tells."""
        self._work += 1
        if self._work > WORK_MAX:
            raise Refusal("refused", "json_schema has too many $ref that lead to each other")
        if not isinstance(schema, dict):
            return schema is not False
        ref = schema.get("$ref")
        if isinstance(ref, str) and not self._known[ref]:
            return False
        if not all(self.can_end(item) for item in _list(schema, "allOf")):
            return False
        for key in ("anyOf", "oneOf"):
            if key in schema and not any(self.can_end(item) for item in _list(schema, key)):
                return False
        if "enum" in schema or "const" in schema:
            return True
        kinds = schema.get("type", ["null"])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        return not kinds or any(self._kind_can_end(kind, schema) for kind in kinds)

    def _kind_can_end(self, kind: Any, schema: dict[str, Any]) -> bool:
        if kind == "object":
            properties = schema.get("properties")
            known = properties if isinstance(properties, dict) else {}
            return all(
                self.can_end(known.get(name, True)) for name in _list(schema, "required") if isinstance(name, str)
            )
        if kind == "array":
            count = schema.get("minItems", 0)
            first = _list(schema, "prefixItems")
            needed = first[: int(count)] if isinstance(count, int | float) else []
            rest = isinstance(count, int | float) and count > len(first)
            return all(self.can_end(item) for item in needed) and (not rest or self.can_end(schema.get("items", True)))
        return True

    def _target(self, ref: str) -> Any:
        """Return the schema that a `$ref` leads to; True for one that is not in this text by its place."""
        if not ref.startswith("#"):
            return True
        found = self._root
        for part in ref[1:].split("/")[1:]:
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                return True
        if isinstance(found, dict) and id(found) not in self._places:
            raise Refusal("refused", f"json_schema has the $ref {ref[:60]!r}: put what it leads to into $defs")
        return found if isinstance(found, dict | bool) else True


def _list(schema: dict[str, Any], key: str) -> list[Any]:
    value = schema.get(key)
    return value if isinstance(value, list) else []
