"""Members of a request: each is read by name, and what is left over is an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from turnwise.serving.api_error import ApiError
from turnwise.serving.parameters import Parameters


def refused(act: Callable[[], Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        act()
    return caught.value


def test_what_nobody_has_read_is_named_the_first_by_its_name() -> None:
    read = Parameters({"a": 1, "zeta": 2, "beta": 3, "none": None}, "outer")
    assert read.integer("a", 0, 9) == 1
    error = refused(read.done)
    assert (error.status, error.param, error.code) == (400, "outer.beta", "unknown_parameter")
    read.ignored("beta", "zeta")
    read.done()
    assert refused(Parameters({"x" * 5_000: 1}).done).message.count("x") < 200


def test_null_is_absent() -> None:
    read = Parameters({"a": None, "b": None})
    assert (read.text("a"), read.boolean("b", default=True), read.given("a")) == (None, True, False)
    read.done()


@pytest.mark.parametrize(
    ("read", "wrong"),
    [
        (lambda of: of.text("a"), [1, True, [], {}]),
        (lambda of: of.boolean("a"), [0, 1, "true"]),
        (lambda of: of.integer("a", 0, 5), [-1, 6, 1.0, True, "1"]),
        (lambda of: of.number("a", 0, 5), [-0.1, 5.1, True, "1", 10**400]),
        (lambda of: of.items("a", 2), ["ab", {}, [1, 2, 3]]),
        (lambda of: of.table("a"), ["ab", [], 3]),
        (lambda of: of.required_text("a"), ["", 3]),
        (lambda of: of.only("a", (0, False), "why"), [1, True, "0", 0.0]),
    ],
)
def test_values_of_another_kind_are_refused(read: Callable[[Parameters], Any], wrong: list[Any]) -> None:
    for value in wrong:
        assert refused(lambda value=value: read(Parameters({"a": value}))).param == "a"


def test_what_asks_for_nothing_may_be_there() -> None:
    read = Parameters({"a": 0, "b": ["text"]})
    read.only("a", (0, 0.0), "why")
    read.only("b", (["text"],), "why")
    read.only("c", (), "why")
    read.done()
