"""Canonical JSON, and the words for what is none."""

from __future__ import annotations

import json
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.core.canonical import canonical as host_canonical
from turnwise_guest import NotJSON
from turnwise_guest.jsontext import canonical

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Other(Enum):
    ONE = 1


@given(VALUES)
def test_canonical_is_the_hosts_and_comes_back(value: Any) -> None:
    text = canonical(value, "value")
    assert text == host_canonical(value)
    assert canonical(json.loads(text), "value") == text


def test_subclasses_of_json_types_are_their_values() -> None:
    assert canonical({Colour.RED: Level.HIGH, "t": (1, Colour.RED)}, "v") == '{"red":3,"t":[1,"red"]}'


CYCLE: list[Any] = []
CYCLE.append({"again": CYCLE})
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"a": {1, 2}},
            "v['a'] is a set, which is not a JSON value: use None, bool, int, float, str, list or dict (a set as",
        ),
        ([0, b"x"], "v[1] is a bytes"),
        ({"a": [{"b": Decimal(1)}]}, "v['a'][0]['b'] is a Decimal"),
        ({"x": object()}, "v['x'] is an object"),
        ({5: 1}, "v has the key 5 (an int), and JSON knows only strings as keys: use '5'"),
        ({"a": [{None: 1}]}, "v['a'][0] has the key None (a NoneType)"),
        ({"a": 1, 2: 3}, "v has the key 2"),
        ({(1, 2): 3}, "v has the key (1, 2) (a tuple)"),
        ({True: 1}, "v has the key True (a bool)"),
        ([float("nan")], "v[0] is nan"),
        (float("inf"), "v is inf"),
        ({"a": "x\ud800"}, "v['a'] has half a character (a lone surrogate, U+D800) at index 1"),
        ({"\udfff": 1}, "a key of v has half a character"),
        ("\ud800", "v has half a character"),
        (CYCLE, "v[0]['again'] contains itself"),
        (DEEP, "is nested more deeply than 100 levels"),
        (Other.ONE, "v is an Other"),
        (print, "v is a builtin_function_or_method"),
    ],
)
def test_what_is_no_json_is_named_by_its_path(value: Any, message: str) -> None:
    with pytest.raises(NotJSON) as caught:
        canonical(value, "v")
    assert message in str(caught.value)
    assert isinstance(caught.value, TypeError)


def test_a_state_may_be_nested_as_deeply_as_json_can() -> None:
    value: Any = "leaf"
    for _ in range(300):
        value = [value]
    assert json.loads(canonical(value, "v")) == value
