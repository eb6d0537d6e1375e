"""Seeds and values of a sweep, as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.errors import UsageError
from turnwise.sweeps.variables import RUNS_MAX, checked_seeds, combinations, seeds_of, variables_of, written
from turnwise.world.written.overrides import setting_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("text", "seeds"), [("0..3", [0, 1, 2, 3]), ("7", [7]), ("1, 2,5..6", [1, 2, 5, 6]), ("4..4", [4])]
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3..1", "-1", "1,1", "0..2,2", "1..", "1...3", f"0..{RUNS_MAX}", "²"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        seeds_of(text)
    assert caught.value.where == "--seeds"
    assert caught.value.hint


@pytest.mark.parametrize("seeds", [[], [True], [-1], [2**64], [1, 1], range(RUNS_MAX + 1)])
def test_seeds_of_python_that_are_none(seeds: Any) -> None:
    with pytest.raises(UsageError):
        checked_seeds(seeds)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("a.b=1,2.5,true", [1, 2.5, True]),
        ("a.b=sad, very merry", ["sad", "very merry"]),
        ('a.b="a,b",c', ["a,b", "c"]),
        ("a.b=[1, 2],[3]", [[1, 2], [3]]),
        ("a.b={ x = 1, y = 2 },{}", [{"x": 1, "y": 2}, {}]),
        ("a.b=don't,can't", ["don't", "can't"]),
        ("a.b=", [""]),
    ],
)
def test_values(option: str, values: list[Any]) -> None:
    assert variables_of([option]) == {"a.b": values}


@given(VALUES)
def test_a_value_of_python_means_the_same_in_a_world_file(value: Any) -> None:
    ((text,),) = [tuple(of) for of in written({"a.b": [value]}).values()]
    assert setting_of(f"a.b={text}") == (("a", "b"), value)


def test_combinations_change_the_last_variable_first() -> None:
    assert combinations({}, 1) == [()]
    assert combinations({"a.x": ["1", "2"], "a.y": ["3", "4"]}, 1) == [
        (("a.x", "1"), ("a.y", "3")),
        (("a.x", "1"), ("a.y", "4")),
        (("a.x", "2"), ("a.y", "3")),
        (("a.x", "2"), ("a.y", "4")),
    ]


@pytest.mark.parametrize(
    "variables",
    [
        {"a.b": []},
        {"a b": ["1"]},
        {"": ["1"]},
        {"a.b": ["1", "1"]},
        {"world.seed": ["1"]},
        {"a.b": ["1"], 'a."b"': ["2"]},
        {f"a.b{n}": ["1", "2"] for n in range(20)},
    ],
)
def test_variables_that_cannot_be(variables: dict[str, list[str]]) -> None:
    with pytest.raises(UsageError) as caught:
        combinations(variables, 1)
    assert caught.value.hint


@pytest.mark.parametrize("values", ["text", [None], [float("nan")], [{1, 2}]])
def test_values_of_python_that_cannot_be(values: Any) -> None:
    with pytest.raises(UsageError):
        written({"a.b": values})


@pytest.mark.parametrize("options", [["a.b"], ["a.b=1", "a.b=2"]])
def test_options_that_cannot_be(options: list[str]) -> None:
    with pytest.raises(UsageError):
        variables_of(options)
