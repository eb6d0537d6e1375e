"""A function as a tool: schemas from hints, words from docstrings, arguments as the types that it wants."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as Path_
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, Optional, TypedDict

import jsonschema
import msgspec
import pytest

from turnwise.tools.kinds.python_function import FunctionError, functions_of_file, read_docstring, read_function


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int = 0


@dataclass
class Path:
    """A path through points."""

    points: list[Point]
    name: str | None = None
    next: Path | None = None


class Options(TypedDict):
    deep: bool
    limit: NotRequired[int]


class Pair(NamedTuple):
    left: int
    right: str


Celsius = NewType("Celsius", float)


def everything(
    text: str,
    count: int,
    ratio: float,
    yes: bool,
    nothing: None,
    anything: Any,
    points: list[Point],
    by_name: dict[str, int],
    pair: tuple[int, str],
    mode: Literal["fast", "slow", 3],
    maybe: Optional[int],  # noqa: UP045
    either: int | str,
    colour: Colour,
    options: Options,
    named: Pair,
    day: datetime.date,
    warm: Celsius,
    bounded: Annotated[int, msgspec.Meta(ge=1, le=9)],
    said: Annotated[str, "what is said"],
    unsaid,  # type: ignore[no-untyped-def]
) -> dict[str, Any]:
    return dict(locals())


GIVEN: dict[str, Any] = {
    "text": "a",
    "count": 1,
    "ratio": 2,
    "yes": True,
    "nothing": None,
    "anything": [{"deep": 1}],
    "points": [{"x": 1}, {"x": 2, "y": 3}],
    "by_name": {"a": 1},
    "pair": [1, "b"],
    "mode": "fast",
    "maybe": None,
    "either": "x",
    "colour": "blue",
    "options": {"deep": False},
    "named": [1, "r"],
    "day": "2026-11-27",
    "warm": 20.5,
    "bounded": 9,
    "said": "so",
    "unsaid": {"free": True},
}


def converted(function: Callable[..., Any], args: dict[str, Any]) -> Any:
    found = read_function(function.__name__, function)
    jsonschema.Draft202012Validator.check_schema(found.input_schema)
    places, names = found.convert(args)
    return function(*places, **names)


def test_arguments_arrive_as_their_types() -> None:
    found = converted(everything, GIVEN)
    assert found["points"] == [Point(1), Point(2, 3)]
    assert found["pair"] == (1, "b")
    assert found["colour"] is Colour.BLUE
    assert found["named"] == Pair(1, "r")
    assert found["day"] == datetime.date(2026, 11, 27)
    assert found["ratio"] == 2.0
    assert type(found["ratio"]) is float
    same = ("text", "count", "yes", "nothing", "anything", "by_name", "mode", "maybe", "either", "options", "unsaid")
    assert {name: found[name] for name in same} == {name: GIVEN[name] for name in same}


def test_the_schema_takes_what_the_types_take() -> None:
    schema = read_function("everything", everything).input_schema
    jsonschema.validate(GIVEN, schema)
    assert sorted(schema["required"]) == sorted(GIVEN)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["said"] == {"type": "string", "description": "what is said"}
    assert schema["properties"]["unsaid"] == {}
    assert schema["properties"]["mode"] == {"enum": [3, "fast", "slow"]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", 1),
        ("count", "1"),
        ("count", 1.5),
        ("count", True),
        ("yes", 1),
        ("nothing", 0),
        ("points", [{"y": 1}]),
        ("points", [{"x": "1"}]),
        ("pair", [1]),
        ("mode", "other"),
        ("maybe", "x"),
        ("either", 1.5),
        ("colour", "green"),
        ("options", {}),
        ("bounded", 10),
        ("day", "tomorrow"),
    ],
)
def test_what_the_types_do_not_take_is_refused(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        converted(everything, {**GIVEN, name: value})


def test_missing_and_unknown_arguments() -> None:
    def one(a: int, /, b: int = 2, *, c: list[int] | None = None) -> list[Any]:
        return [a, b, c]

    assert converted(one, {"a": 1}) == [1, 2, None]
    assert converted(one, {"a": 1, "c": [3]}) == [1, 2, [3]]
    assert converted(one, {"a": 1, "b": 5}) == [1, 5, None]
    with pytest.raises(ValueError, match="missing required field `a`"):
        converted(one, {"b": 1})
    with pytest.raises(ValueError, match="unknown field `d`"):
        converted(one, {"a": 1, "d": 1})


def test_defaults_are_the_functions_own() -> None:
    marker = object()

    def one(a: list[int] = [1, 2], b: Any = marker, c: Point = Point(4), d: float = float("inf")) -> list[Any]:  # noqa: B006, B008
        return [a, b, c, d]

    assert converted(one, {}) == [[1, 2], marker, Point(4), float("inf")]
    properties = read_function("one", one).input_schema["properties"]
    assert properties["a"]["default"] == [1, 2]
    assert properties["c"]["default"] == {"x": 4, "y": 0}
    assert "default" not in properties["b"]
    assert "default" not in properties["d"]


def test_types_that_name_themselves() -> None:
    def one(path: Path) -> Path:
        return path

    found = read_function("one", one)
    args = {"path": {"points": [], "next": {"points": [{"x": 1}]}}}
    jsonschema.validate(args, found.input_schema)
    assert found.output_schema is not None
    jsonschema.validate(args["path"], found.output_schema)
    assert converted(one, args) == Path([], None, Path([Point(1)]))


def test_a_parameter_may_be_called_like_a_part_of_the_type() -> None:
    def one(self: int, __struct_fields__: int = 1, p0: int = 2, keys: int = 3) -> list[int]:
        return [self, __struct_fields__, p0, keys]

    assert converted(one, {"self": 7, "p0": 8}) == [7, 1, 8, 3]


@pytest.mark.parametrize(
    ("result", "schema"),
    [
        (str, None),
        (None, None),
        (Any, None),
        (int, {"type": "integer"}),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ],
)
def test_schemas_of_results(result: Any, schema: dict[str, Any] | None) -> None:
    def one() -> None: ...

    one.__annotations__ = {"return": result}
    assert read_function("one", one).output_schema == schema


def star(*numbers: int) -> None: ...


def stars(**numbers: int) -> None: ...


def strange(a: Callable[[], int]) -> None: ...


def unresolved(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def ambiguous(a: Point | Path) -> None: ...


@pytest.mark.parametrize("function", [star, stars, strange, unresolved, ambiguous])
def test_what_cannot_be_a_tool(function: Callable[..., Any]) -> None:
    with pytest.raises(FunctionError, match=f"`{function.__name__}`: "):
        read_function(function.__name__, function)


GOOGLE = """Add numbers.

    They may be large.

    Args:
        a: The first,
            which comes first.
        b (int): The second: with a colon.

    Returns:
        int: The sum.
    """
SPHINX = """Add numbers.

    They may be large.

    :param a: The first,
        which comes first.
    :param int b: The second: with a colon.
    :returns: The sum.
    """


@pytest.mark.parametrize("text", [GOOGLE, SPHINX])
def test_docstrings(text: str) -> None:
    def one(a: int, b: int) -> int:
        return a + b

    one.__doc__ = text
    found = read_function("one", one)
    assert found.description == "Add numbers.\n\nThey may be large."
    assert {name: part["description"] for name, part in found.input_schema["properties"].items()} == {
        "a": "The first, which comes first.",
        "b": "The second: with a colon.",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("One line.", "One line."),
        ("Note this: it is no section.", "Note this: it is no section."),
        ("Words.\n\nArgs:\n", "Words."),
        ("Args:\n    a: b\n\nAfter: not ours\n", ""),
        (":param:", ""),
    ],
)
def test_other_docstrings(text: str, words: str) -> None:
    assert read_docstring(text)[0] == words


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import json\ndef one(): ...\nasync def two(): ...\ndef _three(): ...\nclass Four: ...\n", ["one", "two"]),
        ("'words'\nfrom math import sqrt\nLIMIT = 3\nTEXT: str = 'x'\nCOUNT: int\ndef one(): ...\n", ["one"]),
        ("one = made(2)\ntwo = lambda: 3\nthree = [lambda: 4]\n", ["one", "two"]),
        ("__all__ = ['one']\ndef one(): ...\n", None),
        ("from math import *\n", None),
        ("if True:\n    def one(): ...\n", None),
        ("one, two = made()\n", None),
        ("def one(", None),
        ("\0", None),
    ],
)
def test_functions_are_known_without_importing_them(tmp_path: Path_, source: str, names: list[str] | None) -> None:
    (tmp_path / "one.py").write_text(source, encoding="utf-8")
    assert functions_of_file(tmp_path / "one.py") == names
    assert functions_of_file(tmp_path / "other.py") is None
