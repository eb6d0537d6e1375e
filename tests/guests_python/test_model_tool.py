"""Functions as tools: their schemas, and what cannot be one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from turnwise_guest import ModelTool
from turnwise_guest.model_tool import parameters_of, tool_of


class Place(TypedDict):
    street: str
    number: NotRequired[int]


def everything(
    text: Annotated[str, "words for the model", {"maxLength": 40}],
    kind: Literal["a", 2, None],
    place: Place,
    counts: dict[str, list[int]],
    anything,  # type: ignore[no-untyped-def]
    some: list[Any],
    share: float = 0.5,
    maybe: bool | None = None,
    *,
    plain: list = [],  # type: ignore[type-arg]  # noqa: B006
) -> None:
    """Do everything.

    All of it.
    """


def test_a_function_is_told_by_its_name_its_words_and_its_hints() -> None:
    tool = ModelTool.of(everything)
    assert (tool.name, tool.description, tool.function) == ("everything", "Do everything.\n\nAll of it.", everything)
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "words for the model", "maxLength": 40},
            "kind": {"enum": ["a", 2, None]},
            "place": {
                "type": "object",
                "properties": {"street": {"type": "string"}, "number": {"type": "integer"}},
                "required": ["street"],
                "additionalProperties": False,
            },
            "counts": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}}},
            "anything": {},
            "some": {"type": "array", "items": {}},
            "share": {"type": "number"},
            "maybe": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "plain": {"type": "array"},
        },
        "required": ["text", "kind", "place", "counts", "anything", "some"],
        "additionalProperties": False,
    }
    assert tool.told().keys() == {"name", "description", "parameters"}


def test_a_function_without_parameters_takes_none() -> None:
    def stop() -> None:
        pass

    empty = {"type": "object", "properties": {}, "additionalProperties": False}
    assert ModelTool.of(stop).told() == {"name": "stop", "parameters": empty}
    assert ModelTool("stop").told() == {"name": "stop", "parameters": empty, "strict": False}


def bytes_are_none(data: bytes) -> None: ...
def pairs_are_none(data: tuple[int, int]) -> None: ...
def numbers_are_no_keys(data: dict[int, str]) -> None: ...
def floats_are_no_choice(data: Literal["a", b"b"]) -> None: ...
def some_are_not_named(*data: int) -> None: ...
def places_are_not_named(data: int, /) -> None: ...


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (bytes_are_none, "type hint of data of bytes_are_none is <class 'bytes'>"),
        (pairs_are_none, "data of pairs_are_none"),
        (numbers_are_no_keys, "data of numbers_are_no_keys"),
        (floats_are_no_choice, "data of floats_are_no_choice"),
        (some_are_not_named, "data of some_are_not_named cannot be given by its name"),
        (places_are_not_named, "data of places_are_not_named cannot be given by its name"),
    ],
)
def test_a_parameter_without_a_schema_is_named(function: Callable[..., None], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        parameters_of(function)


def test_what_can_be_given_as_a_tool() -> None:
    tool = ModelTool("a.b", "Words.", {"type": "object"})
    assert tool_of(tool) is tool
    assert tool_of({"name": "a.b", "description": "Words.", "parameters": {"type": "object"}}) == tool
    assert tool_of(everything) == ModelTool.of(everything)
    for wrong in (3, {"description": "a"}, {"name": "a", "code": ""}):
        with pytest.raises(TypeError, match="a tool "):
            tool_of(wrong)
    for name in ("", "a b", "ä", "a" * 201):
        with pytest.raises(ValueError, match="a tool's name has"):
            ModelTool(name).told()
