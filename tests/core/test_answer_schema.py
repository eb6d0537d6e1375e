"""Answers are checked by a schema's closed list of keywords, within counted steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from turnwise.core.answer_schema import DEPTH_MAX, PARTS_MAX, schema_problem, violation

POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer", "minimum": 0}, "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}}},
    "required": ["x"],
    "additionalProperties": False,
    "$defs": {"tag": {"enum": ["a", "b"]}},
}
TREE: dict[str, Any] = {
    "type": "array",
    "items": {"$ref": "#/$defs/tree"},
    "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
}


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        (True, "anything", None),
        (False, 1, "nothing may be here"),
        ({"type": "integer"}, 1.0, None),
        ({"type": "integer"}, 1.5, "whole number"),
        ({"type": "integer"}, True, "whole number"),
        ({"type": "number"}, False, "a number"),
        ({"type": ["string", "null"]}, None, None),
        ({"type": ["string", "null"]}, 1, "text or null"),
        ({"enum": [1, "a"]}, 1.0, None),
        ({"enum": [1]}, True, "one of 1"),
        ({"const": {"a": [1]}}, {"a": [1.0]}, None),
        ({"const": {"a": [1]}}, {"a": [2]}, "must be"),
        (POINT, {"x": 1, "tags": ["a", "b"]}, None),
        (POINT, {"x": -1}, "x must be at least 0"),
        (POINT, {}, "lacks 'x'"),
        (POINT, {"x": 1, "y": 2}, "cannot have 'y'"),
        (POINT, {"x": 1, "tags": ["a", "c"]}, r"tags\[1\] must be one of"),
        ({"minLength": 2, "maxLength": 3}, "é", "at least 2"),
        ({"minLength": 2, "maxLength": 3}, "four", "at most 3"),
        ({"minItems": 1}, [], "at least 1"),
        ({"maxItems": 1}, [1, 2], "at most 1"),
        ({"uniqueItems": True}, [1, 2, 1.0], r"\[2\] is there already"),
        ({"uniqueItems": True}, [1, True], None),
        ({"minProperties": 1}, {}, "at least 1"),
        ({"maxProperties": 0}, {"a": 1}, "at most 0"),
        ({"exclusiveMinimum": 1}, 1, "more than 1"),
        ({"exclusiveMaximum": 1}, 1, "less than 1"),
        ({"maximum": 1}, 2, "at most 1"),
        ({"multipleOf": 3}, 9, None),
        ({"multipleOf": 3}, 10, "a multiple of 3"),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1], None),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", "b"], r"\[1\] must be a whole"),
        ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, 2, "at least 3"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "a", None),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, None, "whole number"),
        ({"oneOf": [{"minimum": 1}, {"minimum": 2}]}, 3, "fits several"),
        ({"oneOf": [{"minimum": 1}, {"minimum": 2}]}, 1, None),
        ({"not": {"type": "null"}}, None, "cannot be null"),
        ({"additionalProperties": {"type": "integer"}}, {"a": "b"}, "a must be a whole"),
        ({"format": "email", "title": "t", "default": 3}, 3, None),
        (TREE, [[[]]], None),
        (TREE, [[[1]]], "a list"),
    ],
)
def test_a_value_follows_a_schema_or_is_told_what_is_wrong(schema: Any, value: Any, problem: str | None) -> None:
    assert schema_problem(schema) is None
    found = violation(value, schema)
    if problem is None:
        assert found is None
    else:
        with pytest.raises(AssertionError, match=problem):
            raise AssertionError(found)


@pytest.mark.parametrize(
    "schema",
    [
        "text",
        {"pattern": "a"},
        {"type": "float"},
        {"type": []} | {"type": [1]},
        {"enum": []},
        {"minLength": -1},
        {"minimum": "1"},
        {"multipleOf": 0},
        {"multipleOf": 0.1},
        {"required": "x"},
        {"properties": []},
        {"properties": {"a": 1}},
        {"anyOf": []},
        {"items": [True]},
        {"$ref": "#/properties/a"},
        {"$ref": "https://example.org/schema"},
        {"$ref": "#/$defs/none", "$defs": {}},
        {"patternProperties": {}},
        {"if": True},
        {"anyOf": [True] * (PARTS_MAX + 1)},
    ],
)
def test_a_schema_that_cannot_be_checked_is_refused(schema: Any) -> None:
    assert schema_problem(schema) is not None


def test_a_schema_has_a_depth() -> None:
    deep: Any = True
    for _ in range(DEPTH_MAX + 5):
        deep = {"not": deep}
    assert schema_problem(deep) is not None


@pytest.mark.parametrize(
    "around",
    [lambda part: {"not": part}, lambda part: {"anyOf": [part]}, lambda part: {"properties": {"a": part}}],
    ids=["one", "list", "named"],
)
def test_each_way_of_nesting_is_one_deeper(around: Callable[[Any], Any]) -> None:
    def nested(depth: int) -> Any:
        found: Any = True
        for _ in range(depth):
            found = around(found)
        return found

    assert schema_problem(nested(DEPTH_MAX)) is None
    assert schema_problem(nested(DEPTH_MAX + 2)) is not None


def test_what_would_take_for_ever_is_no_answer() -> None:
    twice: dict[str, Any] = {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {}}
    twice["$defs"] = {"a": {"anyOf": [{"$ref": "#/$defs/b"}] * 40}, "b": {"anyOf": [{"$ref": "#/$defs/c"}] * 40}}
    twice["$defs"]["c"] = {"anyOf": [{"type": "null"}] * 400}
    assert schema_problem(twice) is None
    assert violation(1, twice) is not None
    circle: dict[str, Any] = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    assert schema_problem(circle) is None
    assert "steps" in (violation(1, circle) or "")
    assert "steps" in (violation([[n] for n in range(700)], {"uniqueItems": True}) or "")
