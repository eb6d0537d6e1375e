"""Replies to code that was run: whatever the code has left, the reply is of the form."""

from __future__ import annotations

import json

import pytest

from tests.core.worlds import kind
from turnwise.core.events import Request
from turnwise.core.plan import Limits
from turnwise.core.records import AgentRecord
from turnwise.core.run_python import RUN_PYTHON, failure_of, run_execution, run_reply
from turnwise.core.state import AgentState
from turnwise.core.turn import Completed, EffectRequest, Failed, Failure, FailureClass, Needs, TurnOutput


def reply(state: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(run_reply(Completed(TurnOutput(state)), "said"))["ok"]
    return found


def test_a_value_and_an_error_are_told_with_what_was_printed() -> None:
    assert reply('{"value":{"b":1,"a":[]}}') == {"value": {"a": [], "b": 1}, "stdout": "said"}
    error = '{"error":"ValueError: x","failure":"raised"}'
    assert reply(error) == {"error": "ValueError: x", "failure": "raised", "stdout": "said"}


@pytest.mark.parametrize(
    "state",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"value":1,"more":2}',
        '{"error":1,"failure":"raised"}',
        '{"error":"x","failure":"of another kind"}',
        '{"error":"x","failure":[]}',
        '{"value":NaN}',
        '{"value":"\\ud800"}',
        '{"value":' + "[" * 80 + "]" * 80 + "}",
    ],
)
def test_what_is_no_result_is_an_error(state: str) -> None:
    found = reply(state)
    assert found["failure"] == "output"
    assert found.keys() == {"error", "failure", "stdout"}


@pytest.mark.parametrize("kind", list(FailureClass))
def test_a_failure_says_its_class(kind: FailureClass) -> None:
    found = run_reply(Failed(Failure(kind, "why")), "")
    assert failure_of(found) == kind.value


def test_code_has_no_effects() -> None:
    assert failure_of(run_reply(Needs((), many=False), "")) == "effects"


def test_a_reply_without_failure_has_none() -> None:
    assert failure_of(run_reply(Completed(TurnOutput('{"value":null}')), "")) is None
    assert failure_of('{"error":{"kind":"denied","message":"x"}}') is None
    assert failure_of("[]") is None


def test_code_is_executed_within_the_limits_of_the_agent_that_asks() -> None:
    limits = Limits(fuel=77)
    record = AgentRecord(4, "ann", "writer", "{}", "", 0, None, ())
    agent = AgentState(record, kind("writer", limits=limits), ())
    request = Request(4, 0, EffectRequest("run_python", None, '{"code":"1"}'), b"\x5e\xed", 1_000)
    made = run_execution(request, agent, "ab" * 32, 9)
    assert (made.place, made.kind, made.fuel, made.limits, made.code) == (4, RUN_PYTHON, 77, limits, "ab" * 32)
    given = made.input
    assert (given.name, given.args, given.round, given.turn, given.state) == ("ann", '{"code":"1"}', 9, 1, "")
    assert (given.now_us, given.seed, given.mail) == (1_000, "5eed", ())


@pytest.mark.parametrize(("lists", "fits"), [(59, True), (60, False)])
def test_a_result_is_nested_as_deep_as_a_reply_can_hold_it(lists: int, fits: bool) -> None:
    found = reply('{"value":' + "[" * lists + "]" * lists + "}")
    assert ("value" in found) is fits
