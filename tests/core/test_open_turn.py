"""A turn within its round: what it is refused, what is counted of it, and how it goes on."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest

from tests.core.worlds import CODE, WITHOUT_SUMS
from turnwise.core.calling import CALL
from turnwise.core.canonical import canonical
from turnwise.core.contents import Kept
from turnwise.core.envelope import decode_needs, decode_output
from turnwise.core.events import (
    Action,
    Advance,
    Answer,
    CallLeft,
    Commit,
    EffectAnswered,
    Execute,
    Keep,
    Request,
    TurnEnded,
)
from turnwise.core.machine import Machine
from turnwise.core.plan import AgentPlan, Kind, KindGrants, Limits, Plan
from turnwise.core.question import answer_reply
from turnwise.core.tool_plan import ToolPlan, ToolServerPlan
from turnwise.core.turn import Completed, FailureClass
from turnwise.errors import InvariantError

GRANTS = KindGrants(
    generate=("m",), infer=("m",), embed=("m",), send=("*",), ask=True, call=("s",), approve=("s.careful",)
)
TOOLS = (ToolServerPlan("s", (ToolPlan("careful"), ToolPlan("quick")), reply_bytes_max=1_000),)
QUICK = {"effect": "call", "tool": "s.quick", "args": {}}
CAREFUL = {"effect": "call", "tool": "s.careful", "args": {}}
ASK = {"effect": "ask", "question": "well?"}
GENERATE = {"effect": "generate", "model": "m", "prompt": "p"}
DONE = canonical({"ok": {"text": "done"}})
SERVER_ASKS = canonical({"ask": {"questions": [{"key": "q", "text": "Sure?"}], "state": "opaque"}})


def put(content: bytes) -> dict[str, Any]:
    return {"effect": "put", "data": b64encode(content).decode()}


def machine(agents: int = 1, limits: Limits | None = None, **options: Any) -> Machine:
    kind = Kind("agent", CODE, start=True, grants=GRANTS, limits=limits or Limits())
    names = tuple([AgentPlan(f"a{place}", "agent") for place in range(agents)])
    return Machine(Plan("p", 1, (kind,), names, models=(("m", "0" * 64),), tools=TOOLS, **options))


def begun(**options: Any) -> Machine:
    found = machine(**options)
    found.step(Advance())
    return found


def needs(of: Machine, *effects: dict[str, Any], place: int = 0, fuel: int = 1) -> list[Action]:
    """Have a turn ask for effects: for one, or for a list."""
    text = json.dumps(effects[0] if len(effects) == 1 else {"effects": effects})
    return of.step(TurnEnded(place, decode_needs(text), fuel))


def completed(of: Machine, place: int = 0, **output: Any) -> list[Action]:
    outcome = decode_output(json.dumps({"state": "", **output}))
    assert isinstance(outcome, Completed)
    return of.step(TurnEnded(place, outcome, 1))


def replies(action: Action) -> list[Any]:
    """The replies to the latest call of `effect` of a turn that is executed."""
    assert isinstance(action, Execute)
    found = json.loads("".join(action.replies[-1]))
    return found["results"] if found.keys() == {"results"} else [found]


def errors(action: Action) -> list[str | None]:
    return [reply.get("error", {}).get("kind") for reply in replies(action)]


def handle(action: Action, index: int = 0) -> str:
    return str(replies(action)[index]["ok"]["handle"])


# -- what is counted ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tool", "counted"), [("s.quick", 1_000), ("s.nothing", 0)])
@pytest.mark.parametrize("short", [0, 1])
def test_the_reply_of_a_call_is_counted_with_its_request(tool: str, counted: int, short: int) -> None:
    call = QUICK | {"tool": tool}
    size = len(canonical(call)) + counted
    (action,) = needs(begun(limits=Limits(effects_bytes_max=size - short)), call)
    if short:
        assert errors(action) == ["refused"]
    elif counted:
        assert isinstance(action, Request)
    else:
        assert errors(action) == ["unknown_tool"]


def test_the_reply_of_a_call_counts_once() -> None:
    size = len(canonical(QUICK)) + 1_000
    of = begun(limits=Limits(effects_bytes_max=size))
    needs(of, QUICK)
    (action,) = of.step(EffectAnswered(0, 0, canonical({"ok": {"text": "x" * 900}})))
    assert errors(action) == [None]


@pytest.mark.parametrize("short", [0, 1])
def test_the_list_of_tools_counts_among_the_effects(short: int) -> None:
    asked = {"effect": "tools"}
    (action,) = needs(begun(), asked)
    (listed,) = replies(action)
    assert [tool["name"] for tool in listed["ok"]["tools"]] == ["s.careful", "s.quick"]
    size = len(canonical(asked)) + len(canonical(listed))
    (action,) = needs(begun(limits=Limits(effects_bytes_max=size - short)), asked)
    assert errors(action) == (["refused"] if short else [None])


@pytest.mark.parametrize("short", [0, 1])
def test_a_part_of_a_content_counts_among_the_effects(short: int) -> None:
    get = {"effect": "get", "handle": "h" * len(f"{'0' * 64}-100")}
    recorded = canonical({"effect": "put", "bytes": 100, "sha256": "0" * 64})
    of = begun(limits=Limits(effects_bytes_max=len(recorded) + len(canonical(get)) + 100 - short))
    keep, action = needs(of, put(b"x" * 100))
    assert isinstance(keep, Keep)
    (action,) = needs(of, get | {"handle": handle(action)})
    if short:
        assert errors(action) == ["refused"]
    else:
        assert isinstance(action, Execute)
        ok, piece, end = action.replies[-1]
        assert (ok, end) == ('{"ok":', "}")
        assert (piece.kept, piece.start, piece.length) == (keep.kept, 0, 100)  # type: ignore[union-attr]


def test_a_request_that_is_too_large_leaves_size_and_hash_and_those_behind_it_too() -> None:
    of = begun(limits=Limits(effects_bytes_max=200))
    (action,) = needs(of, GENERATE | {"prompt": "x" * 500}, GENERATE)
    assert errors(action) == ["refused", "refused"]
    (commit,) = completed(of)
    assert isinstance(commit, Commit)
    large, small = commit.record.turns[0].effects
    assert json.loads(large.request).keys() == {"effect", "model", "bytes", "sha256"}
    assert json.loads(large.request)["bytes"] == len(canonical(GENERATE | {"prompt": "x" * 500}))
    assert json.loads(small.request).keys() == {"effect", "model", "bytes", "sha256"}


# -- contents and waiting do not go together ---------------------------------------------------------------------------


def test_who_has_put_something_waits_for_nobody() -> None:
    of = begun()
    assert of.may_leave(0)
    needs(of, put(b"hello"))
    assert not of.may_leave(0)
    (action,) = needs(of, ASK, CAREFUL)
    assert errors(action) == ["refused", "refused"]
    (action,) = needs(of, QUICK)
    assert isinstance(action, Request)
    with pytest.raises(InvariantError, match="effect 3 of a0 cannot be left"):
        of.step(CallLeft(0, 3))
    (action,) = of.step(EffectAnswered(0, 3, SERVER_ASKS))
    assert errors(action) == ["refused"]


def test_who_has_asked_puts_and_reads_nothing_in_the_same_call() -> None:
    of = begun()
    (commit,) = needs(of, ASK, put(b"hello"), {"effect": "get", "handle": "h"})
    assert isinstance(commit, Commit)
    (park,) = commit.record.parks
    assert [json.loads(effect.reply)["error"]["kind"] for effect in park.effects] == ["refused", "refused"]
    assert [question.index for question in park.questions] == [0]


@pytest.mark.parametrize(("index", "effects"), [(0, (GENERATE,)), (1, (QUICK, ASK))])
def test_nothing_but_a_call_that_is_waited_for_is_left(index: int, effects: tuple[dict[str, Any], ...]) -> None:
    of = begun()
    needs(of, *effects)
    with pytest.raises(InvariantError, match="cannot be left"):
        of.step(CallLeft(0, index))


def test_a_call_that_was_answered_is_not_left() -> None:
    of = begun()
    needs(of, QUICK, QUICK)
    of.step(EffectAnswered(0, 0, DONE))
    with pytest.raises(InvariantError, match="cannot be left"):
        of.step(CallLeft(0, 0))
    with pytest.raises(InvariantError, match="was not waited for"):
        of.step(EffectAnswered(0, 0, DONE))
    with pytest.raises(InvariantError, match="was not waited for"):
        of.step(EffectAnswered(0, 2, DONE))
    with pytest.raises(InvariantError, match="was not waited for"):
        of.step(EffectAnswered(0, -1, DONE))
    (commit,) = of.step(CallLeft(0, 1))
    assert isinstance(commit, Commit)


# -- going on ----------------------------------------------------------------------------------------------------------


def answered(of: Machine, number: int, value: object) -> list[Action]:
    of.step(Answer(number, answer_reply(value)))
    return of.step(Advance())


def test_what_a_turn_has_used_is_used_when_it_goes_on() -> None:
    size = len(canonical(ASK)) + 65_536 + len(canonical(GENERATE))
    of = begun(limits=Limits(fuel=1_000, effects_bytes_max=size + 10))
    (commit,) = needs(of, ASK, fuel=300)
    assert isinstance(commit, Commit)
    (park,) = commit.record.parks
    assert (park.fuel, park.executions, park.spent_bytes) == (300, 1, size - len(canonical(GENERATE)))
    (action,) = answered(of, 1, "yes")
    assert isinstance(action, Execute)
    assert action.fuel == 700
    (action,) = needs(of, GENERATE, fuel=100)
    assert isinstance(action, Request)
    (action,) = of.step(EffectAnswered(0, 1, canonical({"ok": {"text": "t"}})))
    assert errors(action) == ["refused"]  # ten bytes were left for it
    assert isinstance(action, Execute)
    assert (action.fuel, len(action.replies)) == (600, 2)
    (commit,) = completed(of)
    assert isinstance(commit, Commit)
    (turn,) = commit.record.turns
    assert (turn.fuel, turn.executions) == (101, 2)
    assert [effect.index for effect in turn.effects] == [0, 1]  # the answer is recorded when the turn goes on


def test_calls_of_one_list_go_on_each_by_its_own_answer() -> None:
    of = begun()
    actions = needs(of, CAREFUL, GENERATE, CAREFUL, QUICK)
    assert [action.index for action in actions if isinstance(action, Request)] == [1, 3]
    assert of.waiting() == [("a0", 2)]
    of.step(EffectAnswered(0, 1, canonical({"ok": {"text": "t"}})))
    (commit,) = of.step(EffectAnswered(0, 3, SERVER_ASKS))
    assert isinstance(commit, Commit)
    (park,) = commit.record.parks
    assert [(question.id, question.index) for question in park.questions] == [(1, 0), (2, 2), (3, 3)]
    assert park.calls == ((4, True),)
    of.step(Answer(1, answer_reply(True)))
    of.step(Answer(2, answer_reply(False)))
    of.step(Answer(3, answer_reply("sure")))
    actions = of.step(Advance())
    assert [action.index for action in actions if isinstance(action, Request)] == [0, 3]
    assert [action.stage for action in actions if isinstance(action, Request)] == [0, 1]
    assert of.waiting() == [("a0", 2)]
    assert of.step(EffectAnswered(0, 3, DONE)) == []
    (action,) = of.step(EffectAnswered(0, 0, DONE))
    assert errors(action) == [None, None, "denied", None]


def test_calls_that_nobody_approves_go_on_without_a_request() -> None:
    of = begun()
    needs(of, CAREFUL, CAREFUL)
    of.step(Answer(1, answer_reply(False)))
    (action,) = answered(of, 2, "no")
    assert errors(action) == ["denied", "denied"]


def test_a_call_that_was_left_goes_on_with_its_outcome_beside_what_was_answered() -> None:
    of = begun()
    needs(of, QUICK, GENERATE)
    assert of.step(CallLeft(0, 0)) == []
    assert of.waiting() == [("a0", 1)]
    (commit,) = of.step(EffectAnswered(0, 1, canonical({"ok": {"text": "t"}})))
    assert isinstance(commit, Commit)
    (call,) = of.calls()
    place, turn, times, answers, question = call
    assert (place, turn, times, answers, question.id, question.kind) == (0, 1, 0, None, 1, CALL)
    assert of.questions() == []
    assert not of.is_answer_coming(1)
    of.step(Answer(1, DONE))
    assert of.is_answer_coming(1)
    assert of.calls() == []
    (action,) = of.step(Advance())
    assert replies(action) == [json.loads(DONE), {"ok": {"text": "t"}}]


def test_a_call_that_goes_on_with_answers_and_is_left_has_them_when_it_is_told() -> None:
    of = begun()
    needs(of, QUICK)
    of.step(EffectAnswered(0, 0, SERVER_ASKS))
    answered(of, 1, "sure")
    (commit,) = of.step(CallLeft(0, 0))
    assert isinstance(commit, Commit)
    ((place, turn, times, answers, question),) = of.calls()
    assert (place, turn, times, question.id) == (0, 1, 1, 2)
    assert json.loads(answers or "") == {"answers": {"q": "sure"}, "state": "opaque"}


def test_others_go_on_while_a_call_is_asked_for_again() -> None:
    of = machine(agents=2)
    of.step(Advance())
    needs(of, CAREFUL, place=0)
    (commit,) = completed(of, place=1)
    assert isinstance(commit, Commit)
    of.step(Answer(1, answer_reply(True)))
    (request,) = of.step(Advance())
    assert isinstance(request, Request)
    (action,) = of.step(EffectAnswered(0, 0, DONE))
    assert errors(action) == [None]
    (commit,) = completed(of)
    assert isinstance(commit, Commit)


# -- contents ----------------------------------------------------------------------------------------------------------


def test_a_content_can_be_attached_and_named_by_whom_it_was_given() -> None:
    of = begun(agents=2)
    keep, action = needs(of, put(b"hello"))
    assert isinstance(keep, Keep)
    given = handle(action)
    infer = {"effect": "infer", "model": "m", "inputs": {"x": {"content": given}}}
    (request,) = needs(of, infer)
    assert isinstance(request, Request)
    assert request.contents == ((given, keep.kept),)
    of.step(EffectAnswered(0, 1, canonical({"ok": {}})))
    assert completed(of, send=[{"to": "a1", "body": "b", "attach": given}]) == []
    (request,) = needs(of, GENERATE, place=1)
    assert isinstance(request, Request)
    assert request.contents == ()
    of.step(EffectAnswered(1, 0, canonical({"ok": {}})))
    (action,) = needs(of, infer, place=1)  # it is given by the commit, and not before
    assert errors(action) == ["denied"]
    (commit,) = completed(of, place=1)
    assert isinstance(commit, Commit)
    assert commit.record.messages[0].attach == given
    assert of.world.contents == {given: Kept(keep.kept.sha256, 5, 1, 0, 0)}
    of.step(Advance())
    (request,) = needs(of, infer, place=1)
    assert isinstance(request, Request)
    assert request.contents == ((given, keep.kept),)


def test_what_nobody_was_given_is_not_attached() -> None:
    of = begun(agents=2)
    completed(of, place=1)
    (commit,) = completed(of, send=[{"to": "a1", "body": "b", "attach": "guessed"}])
    assert isinstance(commit, Commit)
    failure = commit.record.turns[0].failure
    assert failure is not None
    assert failure.kind == FailureClass.DENIED
    assert failure.message == "a0 was given no content with the handle that it attaches"


def test_a_message_that_may_not_be_sent_fails_for_that_first() -> None:
    of = begun()
    (commit,) = completed(of, send=[{"to": "a0", "body": "b", "attach": "guessed"}], finish=1)
    assert isinstance(commit, Commit)
    failure = commit.record.turns[0].failure
    assert failure is not None
    assert "finish" in failure.message


@pytest.mark.parametrize(("bytes_max", "fails"), [(6_144, []), (6_143, [2]), (4_095, [1, 2]), (2_047, [0, 1, 2])])
def test_contents_of_a_run_are_bounded_in_order_of_place(bytes_max: int, fails: list[int]) -> None:
    of = begun(agents=3, contents_bytes_max=bytes_max)
    for place in (2, 1, 0):
        needs(of, put(bytes([place]) * 2_048), place=place)
    for place in (1, 2):
        assert completed(of, place=place) == []
    (commit,) = completed(of, place=0)
    assert isinstance(commit, Commit)
    assert [turn.place for turn in commit.record.turns if turn.failure is not None] == fails
    assert of.world.contents_bytes == 2_048 * (3 - len(fails))
    for turn in commit.record.turns:
        if turn.failure is not None:
            assert turn.failure.kind == FailureClass.OUTPUT_SIZE
            assert f"{bytes_max:,} bytes (world.contents_mib)" in turn.failure.message


@pytest.mark.parametrize(("bytes_max", "fails"), [(4_096, False), (4_095, True)])
def test_contents_of_earlier_rounds_count_too(bytes_max: int, fails: bool) -> None:
    of = begun(contents_bytes_max=bytes_max)
    needs(of, put(b"a" * 2_048))
    completed(of, wake_in=1)
    of.step(Advance())
    needs(of, put(b"b" * 2_048))
    (commit,) = completed(of)
    assert isinstance(commit, Commit)
    assert (commit.record.turns[0].failure is not None) is fails


def test_a_turn_that_fails_or_puts_nothing_takes_nothing_of_the_bound() -> None:
    of = begun(agents=3, contents_bytes_max=2_048)
    for place in (0, 2):
        needs(of, put(bytes([place]) * 2_048), place=place)
    completed(of, place=0, finish=1)  # which it may not
    completed(of, place=1)
    (commit,) = completed(of, place=2)
    assert isinstance(commit, Commit)
    assert [turn.failure is None for turn in commit.record.turns] == [False, True, True]
    assert len(of.world.contents) == 1


@pytest.mark.parametrize("granted", [True, False])
def test_code_is_run_for_whom_it_is_granted(granted: bool) -> None:
    kind = Kind("agent", CODE, start=True, grants=replace(GRANTS, run_python=granted))
    of = Machine(Plan("p", 1, (kind,), (AgentPlan("a0", "agent"),), tools=TOOLS, run_python=CODE))
    of.step(Advance())
    (action,) = needs(of, {"effect": "run_python", "tool": "s.careful"})  # which is no call, and needs no approval
    if granted:
        assert isinstance(action, Request)
    else:
        assert errors(action) == ["denied"]


def test_plans_of_version_1_know_no_people_and_no_tools() -> None:
    kind = Kind("agent", CODE, start=True, grants=replace(GRANTS, finish=True), limits=WITHOUT_SUMS)
    of = Machine(Plan("p", 1, (kind,), (AgentPlan("a0", "agent"),), agents_max=None, tools=TOOLS))
    of.step(Advance())
    (action,) = needs(of, ASK, QUICK, {"effect": "tools"}, {"effect": "nothing"})
    assert errors(action) == ["unknown"] * 4
