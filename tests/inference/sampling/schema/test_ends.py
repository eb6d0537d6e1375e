from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.inference.sampling.accepts import accepts
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.sampling.schema.ends import WORK_MAX, Ends

LOOP: dict[str, Any] = {"type": "array", "items": {"$ref": "#/$defs/loop"}, "minItems": 1}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"type": "array", "prefixItems": [{"$ref": "#"}], "minItems": 1},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"$ref": "#"},
        {"$ref": "#/$defs/loop", "$defs": {"loop": LOOP}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/loop"}], "$defs": {"loop": LOOP}},
    ],
)
def test_a_schema_that_no_value_ends_is_refused_at_once(schema: Any) -> None:
    with pytest.raises(Refusal, match="has no value that ends"):
        accepts(schema, "")


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "array", "items": {"$ref": "#"}}, "[[],[[]]]"),
        ({"type": ["array", "null"], "items": {"$ref": "#"}, "minItems": 1}, "[null]"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}}, '{"a":{"a":{}}}'),
        (
            {"type": "object", "properties": {"a": {"anyOf": [{"$ref": "#"}, {"const": 1}]}}, "required": ["a"]},
            '{"a":1}',
        ),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "null"}}}, "null"),
        ({"$ref": "#/anyOf/1", "anyOf": [{"type": "null"}, {"type": "null"}]}, "null"),
    ],
)
def test_a_schema_that_refers_to_itself_and_ends(schema: Any, text: str) -> None:
    assert accepts(schema, text)


def test_what_never_ends_is_left_out_where_it_is_not_needed() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/loop"}, "b": {"const": 1}},
        "$defs": {"loop": LOOP},
    }
    assert not accepts(schema, '{"a":[')
    assert accepts(schema, '{"b":1}')
    choice = {"anyOf": [{"$ref": "#/$defs/loop"}, {"type": "null"}], "$defs": {"loop": LOOP}}
    assert accepts(choice, "null")
    with pytest.raises(Refusal):
        accepts({"type": "object", "properties": {"a": False}, "required": ["a"]}, "")


def test_finding_out_is_bounded() -> None:
    """Each definition needs the next one, and is listed so that one is found in each pass."""
    count = 1500
    names = [f"a{number:04}" for number in range(count)]
    definitions: dict[str, Any] = {
        name: {"allOf": [{"$ref": f"#/$defs/{earlier}"}] * 2}
        for name, earlier in zip(names[1:], names[:-1], strict=True)
    }
    fast = {"$ref": f"#/$defs/{names[-1]}", "$defs": {names[0]: {"type": "null"}} | definitions}
    assert Ends(fast).can_end(fast)
    slow = {name: {"allOf": [{"$ref": f"#/$defs/{later}"}] * 2} for name, later in pairwise(names)}
    schema = {"$ref": f"#/$defs/{names[0]}", "$defs": slow | {names[-1]: {"type": "null"}}}
    assert count**2 > WORK_MAX
    with pytest.raises(Refusal, match="too many"):
        Ends(schema)
