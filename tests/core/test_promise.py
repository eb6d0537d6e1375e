from __future__ import annotations

import pytest

from turnwise.core.promise import Promise, caution, promise_of, weakest


def test_a_class_that_is_not_known_promises_nothing() -> None:
    assert [promise_of(name) for name in ("batch-invariant", "plan-bound", "none", "", "better")] == [
        "batch-invariant",
        "plan-bound",
        "none",
        "none",
        "none",
    ]


def test_several_models_promise_what_the_weakest_does() -> None:
    assert weakest([]) == "batch-invariant"
    assert weakest(["batch-invariant", "plan-bound"]) == "plan-bound"
    assert weakest(["none", "plan-bound", "batch-invariant"]) == "none"


@pytest.mark.parametrize(("promise", "said"), [("plan-bound", "in waves"), ("none", "nothing is promised")])
def test_people_are_told_of_models_that_promise_less(promise: Promise, said: str) -> None:
    line = caution("storyteller", promise)
    assert line is not None
    assert line.startswith("storyteller ")
    assert said in line
    assert caution("storyteller", "batch-invariant") is None


def test_people_are_told_where_nobody_wanted_a_promise() -> None:
    without, wanted = caution("storyteller", "none"), caution("storyteller", "none", given_up=True)
    assert without is not None
    assert wanted == without.replace("the same again:", "the same again (reproducible = false):")
    assert wanted != without
