"""Where two values differ."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.cli.difference import CHANGES_MAX, changes, first_place


@pytest.mark.parametrize(
    ("expected", "actual", "offset"),
    [('{"told":3}', '{"told":4}', 8), ("same start", "same start, longer", 10), ("", "x", 0), ([1, 2], [1, 3], 4)],
)
def test_the_first_place_is_marked(expected: object, actual: object, offset: int) -> None:
    place = first_place(expected, actual)
    assert place.offset == offset
    assert place.expected[: place.column] == place.actual[: place.column]
    assert place.expected[place.column :] != place.actual[place.column :]


def test_long_texts_are_cut_around_the_place() -> None:
    place = first_place("x" * 5000 + "A" + "y" * 5000, "x" * 5000 + "B" + "y" * 5000)
    assert place.offset == 5000
    assert len(place.expected) < 100
    assert place.expected[place.column] == "A"
    assert place.actual[place.column] == "B"
    assert place.expected.startswith("…")
    assert place.expected.endswith("…")


def test_escapes_before_the_place_do_not_move_the_mark() -> None:
    place = first_place("\x1b\x1bA", "\x1b\x1bB")
    assert (place.expected, place.actual, place.column, place.offset) == ("\\e\\eA", "\\e\\eB", 4, 2)


def test_values_that_look_equal_are_told_apart() -> None:
    place = first_place("1", 1)
    assert place.expected != place.actual


@given(st.text(), st.text())
def test_any_two_texts(left: str, right: str) -> None:
    if left != right:
        place = first_place(left, right)
        assert left[: place.offset] == right[: place.offset]
        assert left[place.offset : place.offset + 1] != right[place.offset : place.offset + 1]


def shown(before: object, after: object) -> list[tuple[str, str]]:
    texts = [value if isinstance(value, str) else json.dumps(value) for value in (before, after)]
    return [(change.sign, str(change)) for change in changes(*texts)]


def test_changes_of_a_state() -> None:
    assert shown({"told": 0, "old": 1}, {"told": 1, "new": [2]}) == [
        ("~", "told: 0 → 1"),
        ("-", "old: 1"),
        ("+", "new: [2]"),
    ]
    assert shown({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3, 4]}}) == [("~", "a.b[1]: 2 → 3"), ("+", "a.b[2]: 4")]
    assert shown("", {"told": 0}) == [("+", "told: 0")]
    assert shown({"told": 0}, "") == [("-", "told: 0")]
    assert shown({"told": 0}, {"told": 0}) == []
    assert shown({"a": 1}, {"a": True}) == [("~", "a: 1 → true")]
    assert shown("no JSON", "still none") == [("~", '"no JSON" → "still none"')]


def test_many_changes_are_bounded() -> None:
    found = shown({str(i): 0 for i in range(500)}, {str(i): 1 for i in range(500)})
    assert len(found) == CHANGES_MAX + 1
    assert found[-1] == ("~", "… and more")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_a_change_is_shown_exactly_where_there_is_one(before: object, after: object) -> None:
    left, right = json.dumps(before, sort_keys=True), json.dumps(after, sort_keys=True)
    assert bool(changes(left, right)) == (left != right)


def test_a_state_that_nests_too_deep_is_shown_as_a_whole() -> None:
    for depth in (500, 5_000, 100_000):
        deep = "[" * depth + "]" * depth
        assert [change.sign for change in changes(deep, "[" + deep + "]")]
