"""JSON schemas become grammars: checked, and rewritten so that every answer follows them as JSON readers see it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.sampling.schema.ends import Ends
from turnwise.inference.sampling.schema.formats import with_pattern
from turnwise.inference.sampling.schema.keys import with_closed_keys
from turnwise.inference.sampling.schema.limits import check_schema
from turnwise.inference.sampling.schema.positions import JOINING, changed, names, schemas

PATTERN_KEYS_MAX: Final = 32
"""Patterns of `patternProperties` in one schema."""

IsEmpty = Callable[[str], bool]
"""True if no answer can follow a grammar."""


def json_schema(schema: dict[str, Any], is_empty: IsEmpty) -> str:
    """The grammar of a schema: JSON without any white space around its parts, which could otherwise go on for ever."""
    return f"start: %json {json_grammar(schema, is_empty)}"


def json_grammar(schema: Any, is_empty: IsEmpty) -> str:
    """The schema as llguidance takes it. Raises Refusal if no answer can follow it, or not every answer would."""
    check_schema(schema)
    if not isinstance(schema, dict):
        return json.dumps(schema)
    ends = Ends(schema)
    if not ends.can_end(schema):
        raise Refusal("refused", "json_schema has no value that ends: it leads to itself and leaves no way out")
    _check_pattern_keys(schema, is_empty)
    if any("additionalProperties" in str(item.get("$ref")) for item in schemas(schema)):
        raise Refusal("refused", "json_schema has a $ref into additionalProperties: put what it leads to into $defs")
    return _text(_rewritten(schema, ends))


def _text(schema: Any) -> str:
    return json.dumps({"x-guidance": {"whitespace_flexible": False}, **schema})


def _rewritten(schema: Any, ends: Ends) -> Any:
    """Return the schema with what cannot be finished taken out, keys closed, formats exact, and everything in order."""
    if not isinstance(schema, dict):
        return schema
    if not ends.can_end(schema):
        return False
    schema = changed(schema, lambda item: _rewritten(item, ends))
    return _ordered(with_closed_keys(with_pattern(schema)))


def _ordered(schema: dict[str, Any]) -> dict[str, Any]:
    """Properties in the order of `required`, then the others: the order in which they are generated.

    The order in which a schema was written is lost on the way here, where all JSON is canonical. What joins other
    schemas comes last, since llguidance applies keys one after the other.
    """
    properties = schema.get("properties")
    if isinstance(properties, dict):
        first = [name for name in names(schema) if name in properties]
        schema = {**schema, "properties": {name: properties[name] for name in first}}
    return {key: schema[key] for key in [*(key for key in schema if key not in JOINING), *JOINING] if key in schema}


def _check_pattern_keys(schema: dict[str, Any], is_empty: IsEmpty) -> None:
    """Refuse a pattern for keys that matches listed names only: after a comma nothing could come."""
    found = {
        pattern: None
        for item in schemas(schema)
        if isinstance(patterns := item.get("patternProperties"), dict)
        for pattern in patterns
    }
    if len(found) > PATTERN_KEYS_MAX:
        message = f"json_schema has {len(found)} patterns of keys, at most {PATTERN_KEYS_MAX} are allowed"
        raise Refusal("refused", message)
    listed = {name: False for item in schemas(schema) for name in names(item)}
    for pattern in found if listed else ():
        others = {"type": "object", "properties": listed, "patternProperties": {pattern: True}}
        if is_empty(f"start: %json {_text({**others, 'additionalProperties': False, 'minProperties': 1})}"):
            raise Refusal(
                "refused",
                f"json_schema has the pattern {json.dumps(pattern[:60])} in patternProperties, which matches only "
                "names that properties lists: put what it says there",
            )
