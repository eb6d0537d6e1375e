"""Schemas in words: what people need of them, in a line, whatever a server sends."""

from __future__ import annotations

from typing import Any

import pytest

from turnwise.cli.tool_text import Parameter, parameters, type_words

LISTS: dict[str, Any] = {"type": "array", "items": {"type": "array", "items": {"type": "array", "items": {}}}}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer"}, "integer"),
        ({"type": "string"}, "text"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"type": "array"}, "list"),
        ({"type": "object", "properties": {"a": {}, "b": {}}}, "object (a, b)"),
        ({"type": "object"}, "object"),
        ({"type": ["string", "null"]}, "text | null"),
        ({"enum": ["fast", 3, None]}, '"fast" | 3 | null'),
        ({"const": True}, "true"),
        ({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "number"}}]}, "integer | list of number"),
        ({"oneOf": [{"type": "integer"}, {}]}, "integer | any"),
        ({"$ref": "#/$defs/Point"}, "object (x)"),
        ({"$ref": "#/$defs/Nowhere"}, "any"),
        ({"$ref": "https://example.com/x"}, "any"),
        ({}, "any"),
        (True, "any"),
        ({"type": 3}, "any"),
        (LISTS, "list of list of list of …"),
        ({"enum": list(range(100))}, "0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | …"),
        ({"enum": ["x" * 1000]}, f'"{"x" * 119}… (1,002 characters)'),
    ],
)  # fmt: skip
def test_types(schema: Any, words: str) -> None:
    root = {"$defs": {"Point": {"type": "object", "properties": {"x": {}}}}}
    assert type_words(schema, root) == words


def test_a_type_that_names_itself_comes_to_an_end() -> None:
    root: dict[str, Any] = {"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}]}}}
    assert type_words({"$ref": "#/$defs/A"}, root) == "… | …"


def test_parameters_come_with_those_that_are_needed_first() -> None:
    schema = {
        "type": "object",
        "properties": {
            "b": {"type": "integer", "default": 10, "description": "The second."},
            "c": {"type": "boolean"},
            "a": {"type": "string"},
        },
        "required": ["a"],
    }
    assert list(parameters(schema)) == [
        Parameter("a", "text", ""),
        Parameter("b", "integer = 10", "The second."),
        Parameter("c", "boolean, may be left out", ""),
    ]


@pytest.mark.parametrize(
    "schema",
    [
        None,
        [],
        {},
        {"properties": []},
        {"properties": {"a": 3}, "required": "a"},
        {"properties": {"a": {}}, "required": [3]},
    ],
)
def test_schemas_that_are_none(schema: Any) -> None:
    assert [parameter.name for parameter in parameters(schema)] in ([], ["a"])
