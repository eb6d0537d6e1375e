"""Calls of tools in the core: their stages, from approval and questions of servers to the reply."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from turnwise.core.calling import (
    CALL,
    SHOWN_CHARS_MAX,
    STAGES_MAX,
    TOOL_NAME_CHARS_MAX,
    CallStage,
    ToolCall,
    approval,
    asked_by_server,
    asking,
    asks,
    call_of,
    call_refusal,
    is_of_call,
    may_sample,
    outcome_of,
    request_of,
    stage_after,
    tool_named,
    tool_of,
    tools_reply,
)
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
from turnwise.core.question import QUESTION_CHARS_MAX, answer_reply, question_of
from turnwise.core.records import EffectRecord
from turnwise.core.tool_plan import SamplingPlan, ToolPlan, ToolServerPlan
from turnwise.core.turn import Completed, EffectRequest, Needs, TurnOutput
from turnwise.core.withheld import Withheld
from turnwise.errors import JournalError

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


# -- what is said of calls, without a run ------------------------------------------------------------------------------

LOOSE = ToolServerPlan("loose", (ToolPlan("only", "One of its kind."),))
WIDE = ToolServerPlan(
    "wide",
    (
        ToolPlan("b", "The second.", '{"type":"object"}', '{"type":"string"}'),
        ToolPlan("a", "The first.", '{"type":"object"}'),
    ),
)
TOOLS_OF_ALL = Plan("p", 1, (), (), tools=(WIDE, LOOSE))
ALL = (KindGrants(call=("wide", "loose")),)


def request(tool: object = "wide.a", **members: Any) -> str:
    return canonical({"effect": "call", "tool": tool, **members})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[]", "a call is an object"),
        ('{"effect":"call","tool":"s.t","more":1,"zeal":2}', "a call has no member 'more'"),
        ('{"effect":"call"}', "'tool' must be the name of a tool"),
        (request(""), "'tool' must be the name of a tool"),
        (request(7), "'tool' must be the name of a tool"),
        (request("t" * 201), "'tool' must be the name of a tool, of at most 200 characters"),
        (request(args=[]), "'args' must be an object"),
        (request(args=None), "'args' must be an object"),
    ],
)
def test_what_is_no_call_is_said(body: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call_of(body)
    assert json.loads(call_refusal(TOOLS_OF_ALL, "ann", ALL, body) or "")["error"]["kind"] == "invalid"
    assert tool_of(TOOLS_OF_ALL, body) is None
    assert tool_named(EffectRecord(0, CALL, None, body, "{}")) is None


def test_a_member_that_is_not_known_is_named_by_its_beginning() -> None:
    with pytest.raises(ValueError, match=f"no member '{'m' * 100}'$"):
        call_of(request(**{"m" * 101: 1}))


def test_a_call_has_a_name_and_arguments_which_are_none_if_they_are_left_out() -> None:
    assert call_of(request("t" * 200)) == ToolCall("t" * 200, "{}")
    assert call_of('{"tool":"s.t","args":{"b":1,"a":2},"effect":"call"}') == ToolCall("s.t", '{"a":2,"b":1}')


def test_the_tool_of_an_effect_is_named_where_it_calls_one() -> None:
    effect = EffectRecord(0, CALL, None, request("wide.nothing"), "{}")
    assert tool_named(effect) == "wide.nothing"
    assert tool_named(replace(effect, kind="ask")) is None
    assert tool_named(replace(effect, request=Withheld("ab" * 32))) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layers", "tool", "kind", "said"),
    [
        (ALL, "wide", "unknown_tool", "wide is a server of 2 tools: name one of them, as in wide.TOOL"),
        (ALL, "wide.c", "unknown_tool", "there is no tool 'wide.c' in this world"),
        (ALL, "nobody", "unknown_tool", "there is no tool 'nobody' in this world"),
        ((KindGrants(call=("loose",)),), "wide.a", "denied", "ann is not granted the tool wide.a (grants.call"),
        ((KindGrants(call=("wide.b",)),), "wide.a", "denied", "ann is not granted the tool wide.a (grants.call"),
        ((*ALL, KindGrants()), "loose", "denied", "ann is not granted the tool loose.only (grants.call"),
    ],
)
def test_a_call_that_is_not_made_says_why(layers: tuple[KindGrants, ...], tool: str, kind: str, said: str) -> None:
    error = json.loads(call_refusal(TOOLS_OF_ALL, "ann", layers, request(tool)) or "")["error"]
    assert error["kind"] == kind
    assert error["message"].startswith(said)


@pytest.mark.parametrize("tool", ["wide.a", "loose", "loose.only"])
def test_a_call_that_is_granted_is_made(tool: str) -> None:
    assert call_refusal(TOOLS_OF_ALL, "ann", ALL, request(tool)) is None
    assert call_refusal(TOOLS_OF_ALL, "ann", (KindGrants(approve=("wide", "loose")),), request(tool)) is None


def test_the_tools_that_may_be_called_are_listed_in_order_of_name() -> None:
    only = {"name": "loose.only", "description": "One of its kind."}
    first = {"name": "wide.a", "description": "The first.", "input_schema": {"type": "object"}}
    second = {
        "name": "wide.b",
        "description": "The second.",
        "input_schema": {"type": "object"},
        "output_schema": {"type": "string"},
    }
    for layers, listed in (
        (ALL, [only, first, second]),
        ((KindGrants(call=("wide.b", "loose")),), [only, second]),
        ((KindGrants(call=("loose",), approve=("wide.*",)),), [only, first | APPROVED, second | APPROVED]),
        ((KindGrants(),), []),
    ):
        assert json.loads(tools_reply(TOOLS_OF_ALL, layers)) == {"ok": {"tools": listed}}


APPROVED = {"approve": True}


def approved(body: str, *approve: str) -> str | None:
    return approval("ann", (KindGrants(call=("wide", "loose"), approve=approve),), TOOLS_OF_ALL, body)


def test_who_approves_reads_agent_tool_and_arguments() -> None:
    body = request("loose", args={"n": 1})
    assert json.loads(approved(body, "loose") or "") == {
        "effect": "ask",
        "question": 'May ann call loose.only with {"n":1}?',
        "schema": {"type": "boolean"},
        "call": {"request": json.loads(body)},
    }
    assert approved(body, "wide") is None
    assert approved(body) is None
    assert approved(request("nobody"), "*") is None
    assert approved("[]", "*") is None


@pytest.mark.parametrize(("size", "shown"), [(2_000, "{}?"), (2_001, "… (2,001 characters in all)?")])
def test_long_arguments_are_shown_by_their_beginning(size: int, shown: str) -> None:
    args = canonical({"a": "x" * (size - len('{"a":""}'))})
    question = json.loads(approved(request("loose", args=json.loads(args)), "loose") or "")["question"]
    beginning = f"May ann call loose.only with {args[:2_000]}"
    assert len(args) == size
    assert question == beginning + ("?" if size == 2_000 else shown)


def asked_for(*questions: dict[str, Any], state: object = "s") -> str:
    return canonical({"ask": {"questions": list(questions), "state": state}})


TEXT = {"type": "string"}


def test_the_outcome_of_a_call_asks_or_answers() -> None:
    assert asks(asked_for({"key": "k", "text": "t"}))
    assert not asks(DONE)
    assert not asks('{"error":{"kind":"ask"}}')


@pytest.mark.parametrize(
    ("questions", "text", "schema"),
    [
        ([{"key": "a", "text": "Why?"}], "Why?", None),
        ([{"key": "a", "text": "Why?", "schema": TEXT}], "Why?", TEXT),
        ([{"key": "a", "text": "Why?", "schema": {"pattern": "a*"}}], "Why?", None),
        ([{"key": "a", "text": "  "}], "?", None),
        (
            [{"key": "a", "text": "Why?"}, {"key": "b", "text": "How?", "schema": TEXT}],
            "Why?\nHow?",
            {"type": "object", "properties": {"a": {}, "b": TEXT}},
        ),
    ],
)
def test_questions_of_a_server_are_one_question_to_people(
    questions: list[dict[str, Any]], text: str, schema: object
) -> None:
    body, outcome = request("wide.a"), asked_for(*questions)
    made = asking(body, outcome)
    members: dict[str, Any] = {"effect": "ask", "question": text} | ({} if schema is None else {"schema": schema})
    call = {"request": json.loads(body), "asked": json.loads(outcome)["ask"]}
    assert json.loads(made) == members | {"call": call}
    assert (is_of_call(made), asked_by_server(made)) == (True, True)
    assert (request_of(made), outcome_of(made)) == (body, outcome)
    question_of(made)  # it can be asked


def test_a_schema_that_is_too_large_for_all_questions_is_left_out() -> None:
    many = [{"key": f"k{n}", "text": "t", "schema": TEXT} for n in range(5_000)]
    made = json.loads(asking(request(), asked_for(*many)))
    assert "schema" not in made
    assert len(made["question"]) == 5_000 * 2 - 1


def test_the_words_of_a_server_are_cut_where_a_question_ends() -> None:
    made = asking(request(), asked_for({"key": "k", "text": "w" * 20_000}))
    assert json.loads(made)["question"] == "w" * QUESTION_CHARS_MAX


@pytest.mark.parametrize(
    "outcome",
    [
        DONE,
        "[]",
        "nonsense",
        asked_for(),
        asked_for({"key": "k", "text": "t"}, state=7),
        asked_for({"key": "k"}),
        asked_for({"text": "t"}),
        '{"ask":{"questions":[{"key":"k","text":"t"}]}}',
        '{"ask":{"questions":7,"state":"s"}}',
        '{"ask":{"questions":["k"],"state":"s"}}',
    ],
)
def test_an_outcome_that_cannot_be_is_damage(outcome: str) -> None:
    with pytest.raises(JournalError, match="the outcome of a call is none"):
        asking(request(), outcome)


def test_other_questions_are_of_no_call() -> None:
    for question in ('{"effect":"ask","question":"q"}', '{"effect":"ask","question":"\\"call\\":"}'):
        assert not is_of_call(question)
        assert not asked_by_server(question)
    made = approved(request("loose"), "loose") or ""
    assert (is_of_call(made), asked_by_server(made)) == (True, False)
    assert request_of(made) == request("loose")
    assert not is_of_call(Withheld("ab" * 32))  # type: ignore[arg-type]


@pytest.mark.parametrize(("answer", "word"), [(False, "false"), ("yes", '"yes"'), (1, "1"), (None, "null")])
def test_nothing_but_true_approves(answer: object, word: str) -> None:
    body = request("loose")
    made = approved(body, "loose") or ""
    stage = stage_after(made, answer_reply(answer))
    assert (stage.request, stage.answers, stage.outcome) == (body, None, None)
    error = json.loads(stage.reply or "")["error"]
    assert error == {"kind": "denied", "message": f"nobody approved: {word}"}
    assert stage_after(made, answer_reply(True)) == CallStage(body)


def test_what_was_answered_in_place_of_an_approval_is_told_by_its_beginning() -> None:
    stage = stage_after(approved(request("loose"), "loose") or "", answer_reply("n" * 300))
    assert json.loads(stage.reply or "")["error"]["message"] == f'nobody approved: "{"n" * 199}'


@pytest.mark.parametrize(
    ("keys", "answer", "given"),
    [
        (["a"], "yes", {"a": "yes"}),
        (["a"], {"a": 1}, {"a": {"a": 1}}),
        (["a"], None, {}),
        (["a"], False, {"a": False}),
        (["a", "b"], {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2}),
        (["a", "b"], {"b": None, "a": 0}, {"a": 0}),
        (["a", "b"], "yes", {}),
        (["a", "b"], None, {}),
    ],
)
def test_answers_go_to_the_server_by_their_keys_with_its_state(keys: list[str], answer: object, given: object) -> None:
    body = request("wide.a")
    made = asking(body, asked_for(*[{"key": key, "text": "t"} for key in keys], state="opaque"))
    stage = stage_after(made, answer_reply(answer))
    assert stage == CallStage(body, canonical({"answers": given, "state": "opaque"}))


def test_the_bounds_of_calls_are_what_recorded_runs_were_held_to() -> None:
    assert (TOOL_NAME_CHARS_MAX, STAGES_MAX, SHOWN_CHARS_MAX) == (200, 16, 2_000)


def test_a_server_may_ask_models_where_the_world_grants_it_some() -> None:
    sampling = ToolServerPlan("models", (ToolPlan("t"),), sampling=SamplingPlan(("m",)))
    world = Plan("p", 1, (), (), tools=(sampling, LOOSE))
    assert may_sample(world, request("models.t")) is True
    for body in (request("loose"), request("nobody"), "[]"):
        assert may_sample(world, body) is False
