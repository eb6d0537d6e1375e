"""The encoder that is made once writes what `json.JSONEncoder` writes, for every value."""

from __future__ import annotations

import json
from enum import StrEnum
from json import encoder
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnwise.core.json_encoder import json_encoder

TEXTS = st.text(st.characters(exclude_categories=()))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(TEXTS | st.integers() | st.none(), inner),
    max_leaves=20,
)


class Kind(StrEnum):
    ONE = "on\ne"


def said(encode: Any, value: object) -> object:
    try:
        return encode(value)
    except (ValueError, TypeError) as error:
        return type(error)


@pytest.mark.parametrize("sort_keys", [False, True])
@given(value=VALUES)
@example(value='\ud800\x00"\\/\u2028é\U0001f600')
@example(value=[Kind.ONE, (1, -0.0, 1e300, 10**40)])
@example(value={"b": {}, "a": [], "": [[]]})
@example(value=[float("nan")])
@example(value={"a": object()})
@example(value={(1, 2): "a key that is none"})
def test_every_value_has_the_same_text_or_the_same_kind_of_error(sort_keys: bool, value: object) -> None:
    theirs = json.JSONEncoder(ensure_ascii=False, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False)
    assert said(json_encoder(sort_keys=sort_keys), value) == said(theirs.encode, value)


def test_an_interpreter_without_the_c_encoder_has_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    value = [1, {"é": "a\n", "b": None}, 1.5]
    expected = json_encoder(sort_keys=True)(value)
    monkeypatch.setattr(encoder, "c_make_encoder", None)
    assert json_encoder(sort_keys=True)(value) == expected == '[1,{"b":null,"é":"a\\n"},1.5]'
    with pytest.raises(ValueError, match="Out of range float"):
        json_encoder(sort_keys=True)(float("nan"))
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(RecursionError):
        json_encoder(sort_keys=True)(circle)


def test_a_cycle_is_an_error() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(RecursionError):
        json_encoder(sort_keys=False)(value)
