"""Lists of numbers and recorded numbers keep what they are, and hostile ones take no memory."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnwise.core.withheld import Withheld
from turnwise.journal.file.format import INTEGER_MAX
from turnwise.journal.file.number_runs import (
    NUMBER_CHARS_MAX,
    numbers,
    recalled,
    recorded,
    request_runs,
    requests_of,
    runs,
)


@given(st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 20), min_size=1, max_size=60).map(tuple))
@example((1, 9, 3))
@example((3, 1, 2, 6))
def test_a_list_is_the_same_again_in_its_order(values: tuple[int, ...]) -> None:
    assert numbers(runs(values), count_max=len(values)) == values


@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1).map(sorted))
def test_requests_are_the_same_again(requests: list[tuple[int, int]]) -> None:
    assert requests_of(request_runs(requests), count_max=len(requests)) == tuple(requests)
    with pytest.raises(ValueError, match="more than"):
        requests_of(request_runs(requests), count_max=len(requests) - 1)


def test_requests_of_one_turn_are_a_run() -> None:
    assert request_runs([(3, 0), (3, 1), (3, 2), (3, 4), (5, 5)]) == "[[3,0,2],[3,4,4],[5,5,5]]"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "[7]",
        "[[1,2]]",
        "[[0,0,true]]",
        "[[0,-1,0]]",
        "[[-1,0,0]]",
        "[[0,2,1]]",
        "[[1,0,0],[0,0,0]]",
        "[[0,0,1],[0,1,2]]",
        "[[0,0,9000000000000000000]]",
        "[" * 50_000,
    ],
)
def test_what_is_no_list_of_requests_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        requests_of(text, count_max=100)


def test_a_message_to_everybody_is_short() -> None:
    assert runs(range(100_000)) == "[[0,99999]]"
    assert runs((3, 4, 5, 9)) == "[[3,5],[9,9]]"
    assert runs((7,)) == "[[7,7]]"
    assert runs((5, 4, 6)) == "[[5,5],[4,4],[6,6]]"  # first and last are as far apart as in a run


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "7",
        "null",
        "[7]",
        "[[1]]",
        "[[1,2,3]]",
        "[[1,2.0]]",
        "[[true,true]]",
        '[["1","2"]]',
        "[[2,1]]",
        "[[-1,1]]",
        "[[0,5]]",
        "[[0,1000000000000000]]",
        "[[0,2],[0,2]]",
        "[[0," + "9" * 5_000 + "]]",
        "[" * 100_000,
        "[[0,1]",
    ],
)
def test_what_is_no_list_of_numbers(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # any reason will do
        numbers(text, count_max=5)


@given(st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])))
def test_a_recorded_value_is_the_same_again_exactly(value: float | int | str) -> None:
    stored = recorded(value)
    if type(value) is int:
        assert type(stored) is (int if abs(value) <= INTEGER_MAX else bytes)
    if type(stored) is float:
        assert math.isfinite(stored)
    assert repr(recalled(stored)) == repr(value)


@pytest.mark.parametrize("stored", [None, b"", b"x", b"0x10", b"\xff", b"1" * 200_000, [1]])
def test_what_is_no_recorded_value(stored: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        recalled(stored)


def test_a_recorded_text_that_was_taken_out_is_known_by_its_digest() -> None:
    text = Withheld("ab" * 32)
    stored = recorded(text)
    assert stored == b"sha256:" + b"ab" * 32
    back = recalled(stored)
    assert type(back) is Withheld
    assert back.digest == text.digest
    with pytest.raises(ValueError, match="sha256"):
        recalled(b"sha256:abc")


@pytest.mark.parametrize("given", [(1, 1, 1), (0, 0), (2, 2, 2, 2, 2), (1, 0, 1)])
def test_a_number_that_comes_again_is_kept_as_often(given: tuple[int, ...]) -> None:
    assert numbers(runs(given), count_max=len(given)) == given


@pytest.mark.parametrize("text", ['[["0",1]]', '[[0,"1"]]', "[[null,1]]", "[[true,1]]", "[[0,true]]"])
def test_both_ends_of_a_run_are_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="not a pair of numbers"):
        numbers(text, count_max=100)


def test_a_recorded_number_is_as_long_as_it_may_be_and_no_longer() -> None:
    longest = b"0." + b"0" * (NUMBER_CHARS_MAX - 2)
    assert len(longest) == 100_000
    assert recalled(longest) == 0.0
    with pytest.raises(ValueError, match="neither a number nor a text"):
        recalled(longest + b"0")
