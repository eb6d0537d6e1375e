"""Models that servers of tools ask in the middle of calls: nested effects of a turn, their bounds and their numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from turnwise.core.calling import CALL
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
from turnwise.core.plan import AgentPlan, Kind, KindGrants, Limits, Plan
from turnwise.core.question import answer_reply
from turnwise.core.records import EffectRecord, RoundRecord
from turnwise.core.sampling import (
    BYTES_OF_REPLIES,
    NESTED_FROM,
    SAMPLING,
    index_text,
    model_for,
    sampled_stages,
)
from turnwise.core.tool_plan import SamplingPlan, ToolPlan, ToolServerPlan
from turnwise.core.turn import Completed, EffectRequest, Needs, TurnOutput
from turnwise.core.withheld import Withheld
from turnwise.errors import InvariantError, JournalError

CALLED = EffectRequest(CALL, None, canonical({"effect": "call", "tool": "s.t", "args": {}}))
DONE = canonical({"ok": {"text": "done"}})
ASKS = canonical({"ask": {"questions": [{"key": "q", "text": "Sure?"}], "state": "people"}})
GRANTED = SamplingPlan(("small", "large"), requests_max=3, tokens_max=50)


def sample(*texts: str, state: str = "opaque", hints: tuple[str, ...] = (), **members: Any) -> str:
    """The outcome of a call whose server asks a model for each text; keys are their places."""
    requests = [
        {"key": str(n), "hints": hints, "request": {"messages": [{"role": "user", "content": text}], **members}}
        for n, text in enumerate(texts)
    ]
    return canonical({"sample": {"requests": requests, "state": state}})


def said(text: str) -> str:
    return canonical({"ok": {"text": text, "finish": "end", "tokens": 1, "prompt_tokens": 1}})


def machine(
    sampling: SamplingPlan | None = GRANTED, *, reply_bytes_max: int = 10_000, system: str = "", **limits: Any
) -> Machine:
    server = ToolServerPlan("s", (ToolPlan("t"),), reply_bytes_max=reply_bytes_max, sampling=sampling)
    bounds = Limits(**limits) if limits else Limits()
    kind = Kind("agent", "ab" * 32, start=True, grants=KindGrants(call=("s",)), system=system, limits=bounds)
    return Machine(Plan("p", 1, (kind,), (AgentPlan("agent", "agent"),), tools=(server,)))


def begun(played: Machine, calls: int = 1) -> list[Action]:
    """Play the first turn up to its calls; return what the machine wants then."""
    assert isinstance(played.step(Advance())[0], Execute)
    return played.step(TurnEnded(0, Needs((CALLED,) * calls, many=calls > 1), 1))


def asked(actions: list[Action]) -> list[Request]:
    """The requests to models that actions are."""
    found = [action for action in actions if isinstance(action, Request)]
    assert len(found) == len(actions)
    assert {request.request.kind for request in found} <= {"generate"}
    return found


def ended(played: Machine, actions: list[Action]) -> RoundRecord:
    """Have the turn end; return its round."""
    (action,) = actions
    assert isinstance(action, Execute)
    (commit,) = played.step(TurnEnded(0, Completed(TurnOutput("{}")), 1))
    assert isinstance(commit, Commit)
    return commit.record


def reply_of(actions: list[Action]) -> dict[str, Any]:
    """The reply that a turn goes on with."""
    (action,) = actions
    assert isinstance(action, Execute)
    found: dict[str, Any] = json.loads(str(action.replies[-1]))
    return found


def again(actions: list[Action]) -> tuple[int, Any]:
    """Stage and answers of a call that is made again."""
    (action,) = actions
    assert isinstance(action, Request)
    assert (action.request, action.index) == (CALLED, 0)
    return action.stage, json.loads(action.answers or "null")


def test_a_server_asks_a_model_and_its_call_goes_on_with_the_answer() -> None:
    played = machine(system="You are ours.")
    begun(played)
    (request,) = asked(played.step(EffectAnswered(0, 0, sample("Hello", tokens_max=9, temperature=0.5, stop=["x"]))))
    assert request.request.model == "small"
    assert json.loads(request.request.body) == {
        "effect": "generate",
        "model": "small",
        "messages": [{"role": "user", "content": "Hello"}],
        "tokens_max": 9,
        "temperature": 0.5,
        "stop": ["x"],
    }
    stage, answers = again(played.step(EffectAnswered(0, request.index, said("hi"), (1, 2))))
    ok = {"text": "hi", "finish": "end", "tokens": 1, "prompt_tokens": 1}
    assert (stage, answers) == (1, {"answers": {"0": {"ok": ok, "model": "small"}}, "state": "opaque"})
    record = ended(played, played.step(EffectAnswered(0, 0, DONE)))
    (turn,) = record.turns
    assert [(effect.index, effect.kind, effect.model, effect.tokens) for effect in turn.effects] == [
        (0, CALL, None, None),
        (NESTED_FROM, SAMPLING, None, None),
        (2 * NESTED_FROM, "generate", "small", (1, 2)),
    ]
    assert turn.effects[0].reply == DONE
    assert turn.effects[2].reply == said("hi")
    recorded = json.loads(sample("Hello", tokens_max=9, temperature=0.5, stop=["x"]))
    del recorded["sample"]["state"]
    assert sampled_stages(turn.effects) == {(0, 0): canonical(recorded)}


def test_several_requests_are_answered_together_and_an_answer_may_be_an_error() -> None:
    played = machine()
    begun(played)
    one, two = asked(played.step(EffectAnswered(0, 0, sample("a", "b"))))
    assert one.stream != two.stream
    refused = canonical({"error": {"kind": "invalid", "message": "no"}})
    assert played.step(EffectAnswered(0, two.index, refused)) == []
    _, answers = again(played.step(EffectAnswered(0, one.index, said("A"))))
    assert answers["answers"]["0"]["ok"]["text"] == "A"
    assert answers["answers"]["1"] == {"error": {"kind": "invalid", "message": "no"}, "model": "small"}


def test_what_is_recorded_does_not_depend_on_which_call_comes_first() -> None:
    heads = set()
    for order in ((0, 1), (1, 0)):
        played = machine()
        begun(played, calls=2)
        open_: list[Request] = []
        for index in order:
            open_ += asked(played.step(EffectAnswered(0, index, sample(f"for {index}"))))
        for request in reversed(open_):
            call = request.index % NESTED_FROM
            played.step(EffectAnswered(0, request.index, said(f"to {call}")))
        played.step(EffectAnswered(0, order[0], DONE))
        heads.add(ended(played, played.step(EffectAnswered(0, order[1], DONE))).head)
    assert len(heads) == 1


def test_the_state_of_a_server_shows_in_no_head() -> None:
    heads = set()
    for state in ("one", "two"):
        played = machine()
        begun(played)
        (request,) = asked(played.step(EffectAnswered(0, 0, sample("Hello", state=state))))
        _, answers = again(played.step(EffectAnswered(0, request.index, said("hi"))))
        assert answers["state"] == state
        heads.add(ended(played, played.step(EffectAnswered(0, 0, DONE))).head)
    assert len(heads) == 1


def test_a_server_without_a_grant_gets_no_model() -> None:
    played = machine(sampling=None)
    begun(played)
    reply = reply_of(played.step(EffectAnswered(0, 0, sample("Hello"))))
    assert reply["error"]["kind"] == "tool"
    assert "is granted none (sampling of tools.s)" in reply["error"]["message"]


def test_requests_of_one_call_are_bounded_over_all_its_stages() -> None:
    played = machine()
    begun(played)
    for stage in (1, 2, 3):
        (request,) = asked(played.step(EffectAnswered(0, 0, sample(f"{stage}"))))
        assert again(played.step(EffectAnswered(0, request.index, said("x"))))[0] == stage
    reply = reply_of(played.step(EffectAnswered(0, 0, sample("4"))))
    assert "more than 3 times within this call (sampling.requests_max of tools.s)" in reply["error"]["message"]


def test_more_requests_at_once_than_a_call_may_have_end_it() -> None:
    played = machine()
    begun(played)
    assert "more than 3" in reply_of(played.step(EffectAnswered(0, 0, sample(*"abcd"))))["error"]["message"]


def test_tokens_of_an_answer_are_bounded_whatever_a_server_says() -> None:
    for wanted in ({}, {"tokens_max": 10**9}):
        played = machine()
        begun(played)
        (request,) = asked(played.step(EffectAnswered(0, 0, sample("Hello", **wanted))))
        assert json.loads(request.request.body)["tokens_max"] == 50


@pytest.mark.parametrize(
    ("hints", "found"),
    [((), "small"), (("LARGE",), "large"), (("none", "arg"), "large"), (("none",), "small"), (("",), "small")],
)
def test_a_hint_chooses_among_the_granted_models_only(hints: tuple[str, ...], found: str) -> None:
    assert model_for(("small", "large"), hints) == found


def test_requests_that_take_too_much_end_the_call() -> None:
    played = machine(reply_bytes_max=1_000)
    begun(played)
    reply = reply_of(played.step(EffectAnswered(0, 0, sample("x" * BYTES_OF_REPLIES * 500))))
    assert "takes more than 4,000 bytes within this call" in reply["error"]["message"]


def test_answers_that_take_too_much_are_refused_in_the_order_of_their_requests() -> None:
    found = set()
    for order in ((0, 1), (1, 0)):
        played = machine(reply_bytes_max=1_000)
        begun(played)
        requests = asked(played.step(EffectAnswered(0, 0, sample("a", "b"))))
        for place in order:
            actions = played.step(EffectAnswered(0, requests[place].index, said(f"{place}" * 1_900), (1,)))
        _, answers = again(actions)
        assert answers["answers"]["0"]["ok"]["text"] == "0" * 1_900
        assert answers["answers"]["1"]["error"]["kind"] == "refused"
        record = ended(played, played.step(EffectAnswered(0, 0, DONE)))
        assert [effect.tokens for effect in record.turns[0].effects] == [None, None, (1,), None]
        found.add((record.head, record.execution))
    assert len(found) == 1


def test_what_models_may_be_asked_is_counted_when_a_tool_is_called() -> None:
    bounds = {"effects_bytes_max": 30_000}
    played = machine(**bounds)
    assert reply_of(begun(played))["error"]["kind"] == "refused"
    played = machine(sampling=None, **bounds)
    assert isinstance(begun(played)[0], Request)


def question_of(actions: list[Action]) -> tuple[int, str]:
    """Number and kind of the one question that a round has left open."""
    (action,) = actions
    assert isinstance(action, Commit)
    (park,) = action.record.parks
    (question,) = park.questions
    return question.id, question.kind


def test_a_call_may_ask_models_and_people_and_be_left_between() -> None:
    played = machine()
    records: list[RoundRecord] = []

    def stepped(event: Any) -> list[Action]:
        actions = played.step(event)
        records.extend(action.record for action in actions if isinstance(action, Commit))
        return actions

    begun(played)
    (request,) = asked(stepped(EffectAnswered(0, 0, sample("1", state="one"))))
    assert again(stepped(EffectAnswered(0, request.index, said("A"))))[0] == 1
    number, kind = question_of(stepped(CallLeft(0, 0)))
    assert kind == CALL
    (left,) = played.calls()
    assert left[2:4] == (1, None)  # made again, if it may be, it begins anew

    stepped(Answer(number, sample("2", state="two")))
    (request,) = asked(stepped(Advance()))
    assert request.index == 4 * NESTED_FROM
    stage, answers = again(stepped(EffectAnswered(0, request.index, said("B"))))
    assert (stage, answers["state"]) == (2, "two")
    number, kind = question_of(stepped(EffectAnswered(0, 0, ASKS)))
    assert kind == "ask"

    stepped(Answer(number, answer_reply("yes")))
    stage, answers = again(stepped(Advance()))
    assert (stage, answers) == (3, {"answers": {"q": "yes"}, "state": "people"})
    (request,) = asked(stepped(EffectAnswered(0, 0, sample("3", state="three"))))
    assert again(stepped(EffectAnswered(0, request.index, said("C"))))[0] == 4
    reply = reply_of(stepped(EffectAnswered(0, 0, sample("4"))))
    assert "more than 3 times" in reply["error"]["message"]
    (commit,) = stepped(TurnEnded(0, Completed(TurnOutput("{}")), 1))
    assert isinstance(commit, Commit)

    restored = Machine(played.plan)
    restored.restore(records)
    assert restored.head == played.head


def test_what_nobody_has_asked_for_is_an_error_of_ours() -> None:
    played = machine()
    begun(played)
    with pytest.raises(InvariantError, match="was not waited for"):
        played.step(EffectAnswered(0, NESTED_FROM, said("x")))
    (request,) = asked(played.step(EffectAnswered(0, 0, sample("1"))))
    with pytest.raises(InvariantError, match="was not waited for"):
        played.step(EffectAnswered(0, request.index + NESTED_FROM, said("x")))


@pytest.mark.parametrize(
    "outcome",
    [
        '{"sample":5}',
        canonical({"sample": {"requests": [], "state": ""}}),
        canonical({"sample": {"requests": [{"key": "a", "hints": [], "request": {"tools": []}}], "state": ""}}),
        canonical({"sample": {"requests": [{"key": "a", "hints": [], "request": {"tokens_max": "9"}}], "state": ""}}),
        canonical({"sample": {"requests": [{"key": "a", "hints": [1], "request": {}}], "state": ""}}),
        canonical({"sample": {"requests": [{"key": "a", "hints": [], "request": {}}] * 2, "state": ""}}),
        canonical({"sample": {"requests": [{"key": "a", "hints": [], "request": {}}], "state": 5}}),
    ],
)
def test_an_outcome_of_another_form_is_damage(outcome: str) -> None:
    played = machine()
    begun(played)
    with pytest.raises(JournalError, match="the outcome of a call is none"):
        played.step(EffectAnswered(0, 0, outcome))


def test_nothing_follows_from_what_was_taken_out_of_a_journal() -> None:
    record = EffectRecord(NESTED_FROM, SAMPLING, None, Withheld("0" * 64), Withheld("1" * 64))
    assert sampled_stages([record]) == {}
    with pytest.raises(JournalError, match="of another form"):
        sampled_stages([EffectRecord(NESTED_FROM, SAMPLING, None, "{}", DONE)])


def test_numbers_as_people_read_them() -> None:
    assert [index_text(index) for index in (0, 3, NESTED_FROM, 2 * NESTED_FROM + 3)] == ["0", "3", "0.1", "3.2"]
