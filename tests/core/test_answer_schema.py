"""Answers are checked by a schema's closed list of keywords, within counted steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from turnwise.core import answer_schema
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


def test_the_bounds_are_what_answers_in_recorded_runs_were_held_to() -> None:
    assert (answer_schema.PARTS_MAX, answer_schema.DEPTH_MAX, answer_schema.STEPS_MAX) == (2_000, 32, 200_000)


@pytest.mark.parametrize(("parts", "fits"), [(2_000, True), (2_001, False)])
def test_a_schema_itself_is_one_of_its_parts(parts: int, fits: bool) -> None:
    assert (schema_problem({"anyOf": [True] * (parts - 1)}) is None) is fits


@pytest.mark.parametrize(
    ("schema", "fit", "others"),
    [
        ({"minLength": 2, "maxLength": 3}, ["ab", "abc"], ["a", "abcd"]),
        ({"minItems": 1, "maxItems": 2}, [[1], [1, 2]], [[], [1, 2, 3]]),
        ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}], [{}, {"a": 1, "b": 2}]),
        ({"minimum": 1, "maximum": 2}, [1, 1.5, 2], [0.5, 2.5]),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 2}, [1.5], [1, 2]),
        ({"multipleOf": 1}, [3, 3.0], [3.5]),
        ({"uniqueItems": False}, [[1, 1]], []),
        ({"const": [1, "a"]}, [[1.0, "a"]], [[True, "a"], [1], [1, "a", 2], 1, "1a"]),
        ({"const": "ab"}, ["ab"], [["a", "b"], {"a": 1}, None]),
        ({"const": ["a", "b"]}, [["a", "b"]], ["ab", {"a": 1, "b": 2}]),
        ({"const": {"a": 1}}, [{"a": 1.0}], [{"a": True}, {"a": 1, "b": 2}, {"b": 1}, ["a"], 1]),
        ({"const": True}, [True], [1, 1.0, "true"]),
        ({"$ref": "#/definitions/a", "definitions": {"a": {"type": "null"}}}, [None], [1]),
        ({"$ref": "#/$defs/a~1b~0c", "$defs": {"a/b~c": {"type": "null"}}}, [None], [1]),
    ],
)
def test_a_value_at_a_bound_fits_and_one_beyond_does_not(schema: Any, fit: list[Any], others: list[Any]) -> None:
    assert schema_problem(schema) is None
    assert [value for value in fit if violation(value, schema) is not None] == []
    assert [value for value in others if violation(value, schema) is None] == []


def chain(length: int, around: Callable[[Any], Any]) -> Any:
    """A schema in which each of so many refers to the next by one step more."""
    links: dict[str, Any] = {f"a{n}": around({"$ref": f"#/$defs/a{n + 1}"}) for n in range(length)}
    return links["a0"] | {"$defs": {**links, f"a{length}": True}}


def nested(length: int, around: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(length):
        value = around(value)
    return value


@pytest.mark.parametrize(
    ("around", "value"),
    [
        (lambda part: {"allOf": [part]}, lambda inner: inner),
        (lambda part: {"anyOf": [part]}, lambda inner: inner),
        (lambda part: {"oneOf": [part]}, lambda inner: inner),
        (lambda part: {"not": part}, lambda inner: inner),
        (lambda part: {"items": part}, lambda inner: [inner]),
        (lambda part: {"prefixItems": [part]}, lambda inner: [inner]),
        (lambda part: {"additionalProperties": part}, lambda inner: {"a": inner}),
        (lambda part: {"properties": {"a": part}}, lambda inner: {"a": inner}),
    ],
    ids=["allOf", "anyOf", "oneOf", "not", "items", "prefixItems", "additionalProperties", "properties"],
)
def test_a_value_is_followed_down_to_a_bound(around: Callable[[Any], Any], value: Callable[[Any], Any]) -> None:
    """A link is two levels: the keyword's, and that of the reference."""
    for links, fits in ((64, True), (65, False)):
        schema = chain(links, around)
        assert schema_problem(schema) is None
        found = violation(nested(links, value), schema)
        assert (found is None) is fits
        assert fits or "steps" in (found or "")


def test_references_are_followed_down_to_a_bound() -> None:
    for links, fits in ((128, True), (129, False)):
        assert (violation(1, chain(links, lambda part: part)) is None) is fits


@pytest.mark.parametrize(
    ("schema", "value", "steps"),
    [
        (True, 1, 1),
        ({"allOf": [True] * 5}, 1, 6),
        ({"enum": [1, 2, 3]}, 3, 4),
        ({"const": [1, [2]]}, [1, [2]], 7),
        ({"uniqueItems": True}, [1, 2, 3], 7),
    ],
)
def test_steps_are_counted(schema: Any, value: Any, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_schema, "STEPS_MAX", steps)
    assert violation(value, schema) is None
    monkeypatch.setattr(answer_schema, "STEPS_MAX", steps - 1)
    assert violation(value, schema) == f"it takes more than {steps - 1} steps to check it"


INNER = {"properties": {"b" * 61: {"items": {"type": "null"}}}}


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"enum": [*range(25)]}, 99, f"it must be one of {', '.join(map(str, range(20)))}, not 99"),
        ({"const": "c" * 118}, 1, f'it must be "{"c" * 118}", not 1'),
        ({"const": "c" * 119}, 1, f'it must be "{"c" * 119}…, not 1'),
        ({"type": "null"}, float("nan"), "it must be null, not float"),
        (INNER, {"b" * 61: [1]}, f"{'b' * 60}[0] must be null, not 1"),
        ({"properties": {"a": INNER}}, {"a": {"b" * 61: [1]}}, f"a.{'b' * 60}[0] must be null, not 1"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(schema: Any, value: Any, said: str) -> None:
    assert violation(value, schema) == said
