"""Results as people see them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.cli.result import DEPTH_MAX, result_text

DEALS = [
    {"buyer": "Finn", "price": 7, "note": None, "kind": "a short one", "more": 1.5},
    {"buyer": "Greta", "price": 118, "note": None, "kind": "a longer one", "more": 10},
]


@pytest.mark.parametrize("value", [None, True, 3, 1.5, [], {}, {"a": [1, 2]}, ["x", {"y": None}]])
def test_what_is_short_stays_json(value: object) -> None:
    assert result_text(value) == json.dumps(value)


def test_a_text_is_itself() -> None:
    assert result_text("two\nlines é") == "two\nlines é"


def test_members_stand_below_each_other_and_alike_ones_make_a_table() -> None:
    assert result_text({"goal": True, "deals": DEALS, "a long list": ["x" * 50, {"y": "z" * 80}]}).split("\n") == [
        "goal         true",
        "deals        buyer  price  note  kind          more",
        "             Finn       7  null  a short one    1.5",
        "             Greta    118  null  a longer one    10",
        f'a long list  - "{"x" * 50}"',
        f'             - y  "{"z" * 80}"',
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": "x" * 90}, {"b": "x"}],
        [{"a": "x" * 90}, {"a": "y"}],
        [{"a": 1}, "x" * 90],
        [{}, {"a": "x" * 90}],
        [{"a": f"{'x' * 30}\n"}, {"a": "y" * 40}, {"a": "y" * 40}],
    ],
)
def test_what_is_not_alike_makes_no_table(rows: list[object]) -> None:
    assert result_text(rows).startswith("- ")


def test_what_lies_deep_is_json() -> None:
    value: object = "x" * 100
    for _ in range(DEPTH_MAX + 3):
        value = {"a": value}
    assert result_text(value) == "a  " * DEPTH_MAX + json.dumps({"a": {"a": {"a": "x" * 100}}})


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=30,
    )
)
def test_any_value_can_be_shown(value: object) -> None:
    assert isinstance(result_text(value), str)
