from __future__ import annotations

from dataclasses import replace

from tests.inference.test_protocol import INFO
from turnwise.inference.plans.model_info import ModelInfo, Numeric
from turnwise.orchestrator.reproducibility import cautions, plan_bound


def model(name: str, numeric_class: str | None) -> ModelInfo:
    numeric = (
        None if numeric_class is None else Numeric(numeric_class, "free", True, {}, "GroupQueryAttention", "float")
    )
    return replace(INFO, name=name, numeric=numeric)


MODELS = {
    name: model(name, numeric_class)
    for name, numeric_class in {"a": "batch-invariant", "b": "plan-bound", "c": "none", "d": None}.items()
}


def test_only_models_that_are_plan_bound_are_asked_in_waves() -> None:
    assert plan_bound(MODELS) == ["b"]


def test_people_are_told_which_models_promise_less() -> None:
    assert [line.split()[0] for line in cautions(MODELS)] == ["b", "c"]
    small = {name: replace(info, room_for_waves=False) for name, info in MODELS.items()}
    told = cautions(small)
    assert told[:2] == cautions(MODELS)
    assert told[2:] == [
        "b has less memory here than waves of it take elsewhere: on a machine with more, the head may be another"
    ]


def test_people_are_told_what_they_gave_up() -> None:
    [told] = cautions({"c": MODELS["c"]})
    assert "reproducible" not in told
    info = MODELS["c"]
    assert info.numeric is not None
    given_up = replace(info, numeric=replace(info.numeric, reproducible=False))
    assert "(reproducible = false)" in cautions({"c": given_up})[0]
    assert plan_bound({"c": given_up}) == []
