from __future__ import annotations

from typing import Any

import pytest
from mcp import types

from turnwise.core.answer_schema import schema_problem, violation
from turnwise.tools.kinds.mcp import elicitation
from turnwise.tools.kinds.mcp.elicitation import ElicitationError, question_of, result_of


def form(properties: dict[str, Any], *, required: tuple[str, ...] = (), text: str = "Which?") -> Any:
    schema: Any = {"type": "object", "properties": properties, "required": list(required)}
    return types.ElicitRequestFormParams(message=text, requested_schema=schema)


def page(url: str) -> Any:
    return types.ElicitRequestURLParams(message="Sign in.", url=url, elicitation_id="e")


def test_every_field_that_the_protocol_knows_can_be_asked() -> None:
    asked = question_of(
        "key",
        form(
            {
                "name": {"type": "string", "title": "Name", "minLength": 1, "maxLength": 5, "format": "email"},
                "count": {"type": "integer", "minimum": 1, "maximum": 3, "default": 2},
                "sure": {"type": "boolean"},
                "size": {"type": "string", "enum": ["S", "M"], "enumNames": ["small", "medium"]},
                "kind": {"type": "string", "oneOf": [{"const": "a", "title": "A"}]},
                "many": {"type": "array", "items": {"type": "string", "enum": ["x", "y"]}, "maxItems": 1},
                "properties": {"type": "string", "pattern": "(a+)+$"},
            },
            required=("name",),
        ),
    )
    assert schema_problem(asked.schema) is None
    for answer in ({"name": "me"}, None, {"name": "me", "count": 3, "size": "M", "kind": "a", "many": ["x"]}):
        assert violation(answer, asked.schema) is None
    for answer in ({}, {"name": ""}, {"name": "me", "count": 4}, {"name": "me", "size": "L"}, "me", 5):
        assert violation(answer, asked.schema) is not None
    fields = asked.schema["anyOf"][0]["properties"]
    assert fields["properties"] == {"type": "string"}  # a field of that name; a pattern might take for ever


@pytest.mark.parametrize(
    ("key", "params", "said"),
    [
        ("k" * 129, form({"a": {"type": "string"}}), "name has 129 characters"),
        ("k", form({"a": {"type": ["x"]}}), "cannot be checked"),
        ("k", form({f"field {n}": {"type": "string"} for n in range(1000)}), "a form takes"),
        ("k", page("javascript:alert(1)"), "no address that people can be shown"),
        ("k", page("https://example.com/" + "x" * 2048), "no address that people can be shown"),
    ],
)
def test_what_nobody_can_be_asked_is_refused(key: str, params: Any, said: str) -> None:
    with pytest.raises(ElicitationError, match=said):
        question_of(key, params)


def test_words_are_bounded_and_an_address_stays_whole() -> None:
    long = "x" * (elicitation.TEXT_CHARS_MAX + 1)
    assert len(question_of("k", form({"a": {"type": "string"}}, text=long)).text) == elicitation.TEXT_CHARS_MAX + 1
    params = types.ElicitRequestURLParams(message=long, url="https://example.com/a", elicitation_id="e")
    assert "https://example.com/a\n" in question_of("k", params).text


def test_answers_are_given_as_the_protocol_has_them() -> None:
    fields = form({"a": {"type": "string", "default": "d"}, "b": {"type": "string", "default": "e"}})
    assert result_of(fields, {"k": {"a": "x"}}, "k") == types.ElicitResult(
        action="accept", content={"a": "x", "b": "e"}
    )
    assert result_of(fields, {"k": None}, "k").action == "decline"
    assert result_of(fields, {"other": {}}, "k").action == "cancel"
    nothing, visit = form({}), page("https://example.com")
    for answer, action in ((True, "accept"), (False, "decline"), ("yes", "decline")):
        assert result_of(nothing, {"k": answer}, "k").action == action
        assert result_of(visit, {"k": answer}, "k").action == action
    for wrong in ("text", 5, {"a": {"b": 1}}):
        with pytest.raises(ElicitationError):
            result_of(fields, {"k": wrong}, "k")
