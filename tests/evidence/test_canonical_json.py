"""The same bytes as a foreign implementation of RFC 8785 makes."""

from __future__ import annotations

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from turnwise.evidence.canonical_json import INTEGER_MAX, canonical_json, parse

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_the_bytes_are_those_of_the_library(value: object) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)  # type: ignore[arg-type]
    assert parse(canonical_json(value)) == value


def test_keys_are_sorted_by_utf_16() -> None:
    assert canonical_json({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize("value", [1.5, INTEGER_MAX + 1, {1: 2}, "\ud800", object()])
def test_what_readers_may_read_otherwise_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"canonical|number|key|surrogates"):
        canonical_json(value)


@pytest.mark.parametrize("content", [b'{"a": 1}', b'{"b":1,"a":2}', b'{"a":1,"a":1}', b"1.0", b"[", b"[" * 100_000])
def test_other_texts_of_a_value_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"canonical|nested|Expecting"):
        parse(content)
