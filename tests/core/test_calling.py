"""Calls of tools in the core: their stages, from approval and questions of servers to the reply."""

from __future__ import annotations

import json
from typing import Any

from turnwise.core.calling import CALL, STAGES_MAX
from turnwise.core.canonical import canonical
from turnwise.core.events import (
    Action,
    Advance,
    Answer,
    CallLeft,
    Commit,
    EffectAnswered,
    Execute,
    Request,
    TurnEnded,
)
from turnwise.core.machine import Machine
from turnwise.core.plan import AgentPlan, Kind, KindGrants, Plan
from turnwise.core.question import answer_reply
from turnwise.core.tool_plan import ToolPlan, ToolServerPlan
from turnwise.core.turn import Completed, EffectRequest, Needs, TurnOutput

CALLED = EffectRequest(CALL, None, canonical({"effect": "call", "tool": "s.t", "args": {"n": 1}}))
ASKS = canonical({"ask": {"questions": [{"key": "q", "text": "Sure?"}], "state": "opaque"}})
DONE = canonical({"ok": {"text": "done"}})


def machine(**grants: Any) -> Machine:
    kind = Kind("agent", "ab" * 32, start=True, grants=KindGrants(**(grants or {"call": ("s",)})))
    tools = (ToolServerPlan("s", (ToolPlan("t"),)),)
    return Machine(Plan("p", 1, (kind,), (AgentPlan("agent", "agent"),), tools=tools))


def begun(played: Machine) -> Action:
    """Play the first turn up to its call; return what the machine wants then."""
    assert isinstance(played.step(Advance())[0], Execute)
    (action,) = played.step(TurnEnded(0, Needs((CALLED,), many=False), 1))
    return action


def parked(action: Action) -> tuple[int, str, dict[str, Any]]:
    """Return number, kind and request of the one question that a round has left open."""
    assert isinstance(action, Commit)
    (park,) = action.record.parks
    (question,) = park.questions
    return question.id, question.kind, json.loads(question.request)


def ended(played: Machine, action: Action) -> None:
    """Have the turn end with the reply that it was given."""
    assert isinstance(action, Execute)
    assert action.replies == (DONE,)
    (commit,) = played.step(TurnEnded(0, Completed(TurnOutput("{}")), 1))
    assert isinstance(commit, Commit)
    (turn,) = commit.record.turns
    assert [(effect.kind, effect.request, effect.reply) for effect in turn.effects] == [(CALL, CALLED.body, DONE)]


def test_a_server_asks_people_and_is_called_again_with_their_answers() -> None:
    played = machine()
    assert isinstance(begun(played), Request)
    for stage in (1, 2):
        number, kind, request = parked(played.step(EffectAnswered(0, 0, ASKS))[0])
        assert (kind, request["question"]) == ("ask", "Sure?")
        assert [asked.text for asked in played.questions()] == ["Sure?"]
        played.step(Answer(number, answer_reply(f"yes {stage}")))
        (action,) = played.step(Advance())
        assert isinstance(action, Request)
        assert (action.stage, json.loads(action.answers or "")) == (
            stage,
            {"answers": {"q": f"yes {stage}"}, "state": "opaque"},
        )
    ended(played, played.step(EffectAnswered(0, 0, DONE))[0])


def test_a_call_that_was_left_may_ask_when_its_outcome_comes() -> None:
    played = machine()
    begun(played)
    number, kind, request = parked(played.step(CallLeft(0, 0))[0])
    assert (kind, request) == (CALL, json.loads(CALLED.body))
    assert played.questions() == []
    played.step(Answer(number, ASKS))
    number, kind, _ = parked(played.step(Advance())[0])
    assert kind == "ask"
    played.step(Answer(number, answer_reply(None)))
    (action,) = played.step(Advance())
    assert isinstance(action, Request)
    assert json.loads(action.answers or "") == {"answers": {}, "state": "opaque"}
    ended(played, played.step(EffectAnswered(0, 0, DONE))[0])


def test_questions_of_a_server_have_an_end() -> None:
    played = machine()
    begun(played)
    for _ in range(STAGES_MAX):
        number, _, _ = parked(played.step(EffectAnswered(0, 0, ASKS))[0])
        played.step(Answer(number, answer_reply(True)))
        played.step(Advance())
    (action,) = played.step(EffectAnswered(0, 0, ASKS))
    assert isinstance(action, Execute)
    assert json.loads(str(action.replies[0]))["error"]["kind"] == "tool"


def test_a_call_is_made_when_a_person_has_approved_it_and_denied_otherwise() -> None:
    for answer, then in ((True, Request), (False, Execute), ("yes", Execute)):
        played = machine(approve=("s.t",))
        number, kind, request = parked(begun(played))
        assert (kind, request["call"]["request"]) == ("ask", json.loads(CALLED.body))
        played.step(Answer(number, answer_reply(answer)))
        (action,) = played.step(Advance())
        assert isinstance(action, then)
        if isinstance(action, Execute):
            assert json.loads(str(action.replies[0]))["error"]["kind"] == "denied"


def test_an_agent_cannot_ask_a_question_that_stands_at_the_place_of_a_call() -> None:
    played = machine(call=("s",), ask=True)
    played.step(Advance())
    body = canonical({"effect": "ask", "question": "?", "call": {"request": json.loads(CALLED.body)}})
    (action,) = played.step(TurnEnded(0, Needs((EffectRequest("ask", None, body),), many=False), 1))
    assert isinstance(action, Execute)
    assert json.loads(str(action.replies[0]))["error"]["kind"] == "refused"
