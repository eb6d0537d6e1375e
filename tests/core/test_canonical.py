from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.core.canonical import canonical, digest

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def test_the_form() -> None:
    value = {"b": [1, 1.0, -0.0, True, None], "a": 'é\n\u2028"', "B": {}}
    assert canonical(value) == '{"B":{},"a":"é\\n\u2028\\"","b":[1,1.0,-0.0,true,null]}'


@given(VALUES)
def test_it_says_what_it_was_given_and_is_its_own_canonical_form(value: Any) -> None:
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(json.loads(text)) == text
    text.encode()


@given(st.dictionaries(TEXTS, st.integers()))
def test_the_order_of_insertion_leaves_no_trace(value: dict[str, int]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, [-math.inf], {"a": {1, 2}}, b"bytes", {(1, 2): 3}, {"a": 1, 2: 3}, "\ud800", {"\udfff": 1}],
    ids=repr,
)
def test_what_has_no_text_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical(value)


def test_cycles_and_depth_are_value_errors() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(ValueError, match="Circular"):
        canonical(cycle)
    deep: list[object] = []
    for _ in range(200_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        canonical(deep)


def test_the_digest_is_sha256_with_lengths() -> None:
    framed = (2).to_bytes(8, "little") + b"ab" + (1).to_bytes(8, "little") + b"c"
    assert digest(b"ab", b"c") == hashlib.sha256(framed).digest()
    assert digest(memoryview(b"ab"), bytearray(b"c")) == digest(b"ab", b"c")


def test_boundaries_count() -> None:
    assert digest(b"ab", b"c") != digest(b"a", b"bc") != digest(b"abc") != digest(b"abc", b"")
