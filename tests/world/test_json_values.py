from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from turnwise.core.canonical import canonical
from turnwise.world.json_values import to_text
from turnwise.world.limits import INTEGER_MAX, JSON_DEPTH_MAX
from turnwise.world.problems import Problems

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
SCALARS = st.none() | st.booleans() | st.integers(-INTEGER_MAX - 1, INTEGER_MAX) | TEXTS
VALUES = st.recursive(
    SCALARS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
BAD = st.sampled_from([float("nan"), 2**63, "\ud800", b"", {1: 2}, {"\udc00": 1}, object()])


@given(VALUES)
def test_json_values_become_canonical_text(value: Any) -> None:
    problems = Problems("x")
    text = to_text(value, ("args",), problems, 10**6)
    assert not problems
    assert text == canonical(value)
    assert json.loads(text) == value


@given(
    st.recursive(BAD, lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(TEXTS, inner, min_size=1))
)
def test_anything_else_is_said_with_its_place(value: Any) -> None:
    problems = Problems("x")
    assert to_text(value, ("args",), problems, 10**6) is None
    assert problems
    for problem in problems.found:
        assert problem.where.startswith("x: args")
        assert problem.hint


def test_depth_is_bounded() -> None:
    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    problems = Problems("x")
    assert to_text(nested(JSON_DEPTH_MAX), (), problems, 1000) is not None
    assert to_text(nested(JSON_DEPTH_MAX + 1), (), problems, 1000) is None
    assert to_text(nested(100_000), (), problems, 1000) is None
    assert [problem.message for problem in problems.found] == ["is nested deeper than 64 levels"] * 2


def test_size_is_counted_in_bytes() -> None:
    problems = Problems("x")
    assert to_text("éé", (), problems, 6) == '"éé"'
    assert to_text("ééé", ("args",), problems, 6) is None
    assert problems.found[0].message == "is 8 bytes of JSON"
    assert "At most 6 bytes" in problems.found[0].hint
