"""Effects before anybody is asked: refusals, first questions, and what is kept free for replies."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.core.test_open_turn import ASK, CAREFUL, GENERATE, GRANTS, QUICK, TOOLS, machine, put
from tests.core.worlds import CODE, WITHOUT_SUMS
from turnwise.core.asked_effect import effect_refusal, first_question, reserved_bytes
from turnwise.core.canonical import canonical
from turnwise.core.envelope import decode_needs
from turnwise.core.machine import Machine
from turnwise.core.plan import AgentPlan, Kind, Plan
from turnwise.core.question import ANSWER_BYTES_MAX
from turnwise.core.turn import EffectRequest
from turnwise.core.turn_contents import TurnContents

DEADLINE = {"effect": "ask", "question": "when?", "deadline": 3, "default": None}


def request(members: dict[str, Any]) -> EffectRequest:
    (found,) = decode_needs(canonical(members)).requests
    return found


def refused(members: dict[str, Any], of: Machine | None = None, **state: bool) -> str | None:
    """The kind of the error with which an effect is refused."""
    world = (of or machine()).world
    agent = world.agents[0]
    contents = TurnContents(agent, 1, b"h" * 32, {})
    if state.get("has_contents"):
        contents.put(b"x", 0, b"s" * 32)
    has_asked = state.get("has_asked", False)
    reply = effect_refusal(world.plan, agent, contents, request(members), has_asked=has_asked)
    return None if reply is None else str(json.loads(reply)["error"]["kind"])


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        (GENERATE, None),
        (GENERATE | {"model": "other"}, "denied"),
        ({"effect": "generate", "prompt": "p"}, "refused"),
        ({"effect": "infer", "model": "m", "inputs": {"x": {"content": "none"}}}, "denied"),
        ({"effect": "embed", "model": "m", "texts": ["x"]}, None),
        ({"effect": "dream"}, "unknown"),
        (ASK, None),
        ({"effect": "ask"}, "refused"),
        (QUICK, None),
        (CAREFUL, None),
        (QUICK | {"tool": "s.none"}, "unknown_tool"),
        ({"effect": "tools"}, None),
        ({"effect": "run_python", "code": "1"}, "denied"),
        (put(b"x"), None),
    ],
)
def test_what_is_refused(members: dict[str, Any], kind: str | None) -> None:
    assert refused(members) == kind


def test_a_turn_that_has_contents_does_not_wait_for_people_and_one_that_waits_puts_none() -> None:
    assert [refused(one, has_contents=True) for one in (ASK, CAREFUL)] == ["refused", "refused"]
    assert [refused(one, has_contents=True) for one in (QUICK, GENERATE, put(b"y"))] == [None, None, None]
    assert [refused(one, has_asked=True) for one in (put(b"x"), {"effect": "get", "handle": "h"})] == ["refused"] * 2
    assert refused(QUICK, has_asked=True) is None


def test_a_plan_of_version_1_knows_neither_questions_nor_tools() -> None:
    kind = Kind("agent", CODE, start=True, grants=replace(GRANTS, finish=True), limits=WITHOUT_SUMS)
    old = Machine(Plan("p", 1, (kind,), (AgentPlan("a0", "agent"),), agents_max=None, tools=TOOLS))
    assert [refused(one, old) for one in (ASK, QUICK, {"effect": "tools"})] == ["unknown"] * 3
    assert refused(GENERATE, old) is None


def test_an_effect_begins_with_a_question_if_it_is_one_or_needs_an_approval() -> None:
    world = machine().world
    agent = world.agents[0]

    def first(members: dict[str, Any]) -> tuple[str, str, int | None] | None:
        return first_question(world.plan, agent, request(members), 4)

    assert first(ASK) == ("ask", canonical(ASK), None)
    assert first(DEADLINE) == ("ask", canonical(DEADLINE), 7)
    assert first(QUICK) is first(GENERATE) is None
    kind, question, deadline = first(CAREFUL) or ("", "{}", 0)
    assert (kind, deadline) == ("ask", None)
    assert json.loads(question)["question"] == "May a0 call s.careful with {}?"
    assert json.loads(question)["call"] == {"request": CAREFUL}


def test_replies_that_come_when_a_turn_has_been_recorded_are_counted_with_their_requests() -> None:
    plan = machine().plan
    assert reserved_bytes(plan, request(ASK)) == ANSWER_BYTES_MAX
    assert reserved_bytes(plan, request(QUICK)) == TOOLS[0].reply_bytes_max
    assert reserved_bytes(plan, request(QUICK | {"tool": "s.none"})) == 0
    assert reserved_bytes(plan, request(GENERATE)) == 0
