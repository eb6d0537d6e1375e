"""Questions to people: a turn that waits, and what goes on meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.core.worlds import kind, plan
from turnwise.core.events import Advance, Answer, OutsideChange
from turnwise.core.machine import Machine
from turnwise.core.plan import KindGrants, Limits, Plan
from turnwise.core.question import answer_reply
from turnwise.core.records import AnswerRecord, ChangeRecord, RoundRecord, TurnRecord
from turnwise.errors import DifferenceFound, InvariantError
from turnwise.sim import Effect, simulate

ASKS = KindGrants(ask=True, send=("asker", "clock", "other"), finish=True)
CLOCK = kind("clock", start=True, grants=ASKS)


def asker(question: dict[str, Any]) -> Any:
    """Asks at its first turn, and tells later ones what it has read."""

    def behave(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        if turn["state"]:
            return {"state": turn["state"] + "".join(message["body"] for message in turn["inbox"])}
        reply = effect({"effect": "ask", "question": "well?", **question})
        told = {"reply": reply, "round": turn["round"], "inbox": [m["body"] for m in turn["inbox"]]}
        return {"state": json.dumps(told), "send": [{"to": "clock", "body": "done"}]}

    return behave


def clock(rounds: int) -> Any:
    """Moves in every round up to one, and sends the asker a letter each time."""

    def behave(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        heard = "".join(m["body"] for m in turn["inbox"])
        out: dict[str, Any] = {"state": turn["state"] + heard, "send": [{"to": "asker", "body": str(turn["round"])}]}
        return out | ({"wake_in": 1} if turn["round"] < rounds else {})

    return behave


def world(schedule: str = "rounds", **options: Any) -> Plan:
    asks = kind("asker", start=True, grants=ASKS)
    return plan([asks, CLOCK], schedule=schedule, **options)


def turns_of(rounds: list[RoundRecord], place: int) -> list[tuple[int, TurnRecord]]:
    return [(record.round, turn) for record in rounds for turn in record.turns if turn.place == place]


@pytest.mark.parametrize("schedule", ["rounds", "sequential"])
def test_a_turn_that_waits_holds_up_nobody_and_goes_on_with_its_own_input(schedule: str) -> None:
    behaviours = {"asker": asker({}), "clock": clock(6)}
    run = simulate(world(schedule), behaviours, people={4: [(1, "yes")]})
    assert run.rounds[0].parks[0].questions[0].id == 1
    assert not [turn for record in run.rounds[:3] for turn in record.turns if turn.place == 0]
    (first, turn), *later = turns_of(run.rounds, 0)
    assert (first, turn.turn, turn.inbox) == (5, 1, ())
    assert turn.output is not None
    assert json.loads(turn.output.state) == {"reply": {"ok": {"answer": "yes"}}, "round": 1, "inbox": []}
    assert next(record for record in run.rounds if record.round == 5).answers == (AnswerRecord(1, answer_reply("yes")),)
    read = [seq for _, of in later for seq in of.inbox]
    assert read == sorted(read)
    sent = [m.seq for record in run.rounds for m in record.messages if m.to == "asker"]
    assert read == sent
    assert run.end is not None
    assert run.end.reason == "quiet"


@pytest.mark.parametrize("schedule", ["rounds", "sequential"])
@pytest.mark.parametrize("order", range(5))
def test_what_waits_is_the_same_however_the_run_is_reached(schedule: str, order: int) -> None:
    behaviours = {"asker": asker({}), "clock": clock(6)}
    people = {4: [(1, "yes")]}
    whole = simulate(world(schedule), behaviours, people=people, order=order)
    for cut in range(len(whole.rounds)):
        machine = Machine(world(schedule))
        machine.restore(whole.rounds[:cut])
        rest = simulate(world(schedule), behaviours, machine=machine, people=people)
        assert rest.rounds == whole.rounds[cut:]
        assert rest.end == whole.end


def test_a_run_does_not_end_while_somebody_waits() -> None:
    behaviours = {"asker": asker({}), "clock": clock(2)}
    run = simulate(world(), behaviours)
    assert run.end is None
    assert run.machine.waits
    assert [asked.id for asked in run.machine.questions()] == [1]
    with pytest.raises(InvariantError, match="before a question is answered"):
        run.machine.step(Advance())
    run.machine.step(Answer(1, answer_reply(0)))
    assert not run.machine.waits
    assert not run.machine.questions()
    assert simulate(world(), behaviours, machine=run.machine).end is not None


@pytest.mark.parametrize("default", [{"default": "none"}, {}])
def test_a_deadline_takes_the_default_or_is_an_error(default: dict[str, Any]) -> None:
    behaviours = {"asker": asker({"deadline": 3, **default}), "clock": clock(1)}
    run = simulate(world(), behaviours)
    (round_, turn), *_ = turns_of(run.rounds, 0)
    assert round_ == 4
    reply = json.loads(turn.effects[0].reply)
    if default:
        assert reply == {"ok": {"answer": "none", "default": True}}
    else:
        assert reply["error"]["kind"] == "deadline"


@pytest.mark.parametrize("after", range(5))
def test_an_answer_counts_up_to_the_round_of_the_deadline_and_not_later(after: int) -> None:
    behaviours = {"asker": asker({"deadline": 3, "default": 0}), "clock": clock(9)}
    run = simulate(world(), behaviours, people={after: [(1, 5)]})
    answers = [answer for record in run.rounds for answer in record.answers]
    assert len(answers) == (1 if 1 <= after <= 3 else 0)
    (round_, turn), *_ = turns_of(run.rounds, 0)
    assert round_ == (after + 1 if answers else 4)
    assert json.loads(turn.effects[0].reply)["ok"]["answer"] == (5 if answers else 0)


def test_a_second_answer_has_no_effect() -> None:
    behaviours = {"asker": asker({}), "clock": clock(9)}
    once = simulate(world(), behaviours, people={2: [(1, "a")]})
    twice = simulate(world(), behaviours, people={2: [(1, "a"), (1, "b")], 3: [(1, "c")], 5: [(1, "d"), (9, "e")]})
    assert once.head == twice.head


def test_several_questions_of_one_call_wait_for_all_and_other_effects_are_asked_at_once() -> None:
    def behave(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        asked = [{"effect": "ask", "question": f"{n}?"} for n in range(2)]
        reply = effect({"effects": [asked[0], {"effect": "generate", "model": "m", "prompt": "p"}, asked[1]]})
        again = effect({"effect": "ask", "question": "and now?"})
        return {"state": json.dumps([reply, again])}

    grants = KindGrants(ask=True, generate=("m",))
    one = plan([kind("asker", start=True, grants=grants)], models=(("m", "0" * 64),))
    asked: list[str] = []

    def answer(request: Any, _: bytes) -> dict[str, Any]:
        asked.append(request.body)
        return {"ok": {"text": "t"}}

    people = {1: [(2, "two")], 2: [(1, "one")], 3: [(3, "three")]}
    run = simulate(one, {"asker": behave}, answer=answer, people=people)
    assert len(asked) == 1
    assert [[effect.index for effect in part.effects] for record in run.rounds for part in record.parts] == [
        [1],
        [0, 2],
        [3],
    ]
    assert [record.round for record in run.rounds] == [1, 2, 3, 4]
    assert not run.rounds[1].parts  # one of two is answered: that is kept, and nobody moves
    turn = run.rounds[3].turns[0]
    assert turn.output is not None
    results, again = json.loads(turn.output.state)
    assert [result["ok"] for result in results["results"]] == [{"answer": "one"}, {"text": "t"}, {"answer": "two"}]
    assert again == {"ok": {"answer": "three"}}
    for cut in range(len(run.rounds)):
        machine = Machine(one)
        machine.restore(run.rounds[:cut])
        rest = simulate(one, {"asker": behave}, answer=answer, machine=machine, people=people)
        assert rest.rounds == run.rounds[cut:]


@pytest.mark.parametrize(
    ("question", "kind_"),
    [
        ({"question": ""}, "refused"),
        ({"question": "x", "schema": {"pattern": "a*"}}, "refused"),
        ({"question": "x", "deadline": 0}, "refused"),
        ({"question": "x", "default": 1}, "refused"),
        ({"question": "x", "model": "m"}, "refused"),
        ({"question": "x" * 16_385}, "refused"),
        ({"question": "x", "deadline": 1, "default": "y" * 70_000}, "refused"),
    ],
)
def test_a_question_that_cannot_be_asked_is_an_error_of_the_effect(question: dict[str, Any], kind_: str) -> None:
    run = simulate(world(), {"asker": asker(question), "clock": clock(1)})
    (_, turn), *_ = turns_of(run.rounds, 0)
    assert json.loads(turn.effects[0].reply)["error"]["kind"] == kind_


def test_asking_is_granted_and_takes_of_the_bytes_of_effects() -> None:
    for options, kind_ in (
        ({"grants": KindGrants(send=("clock",))}, "denied"),
        ({"grants": ASKS, "limits": Limits(effects_bytes_max=65_000)}, "refused"),
    ):
        plan_ = plan([kind("asker", start=True, **options), CLOCK])  # type: ignore[arg-type]
        run = simulate(plan_, {"asker": asker({}), "clock": clock(1)})
        (_, turn), *_ = turns_of(run.rounds, 0)
        assert json.loads(turn.effects[0].reply)["error"]["kind"] == kind_


def test_an_alarm_that_rings_meanwhile_rings_after_the_turn() -> None:
    def behave(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        if turn["turn"] == 1:
            return {"state": "", "wake_in": 2}  # for round 3
        if turn["turn"] == 2:
            effect({"effect": "ask", "question": "?"})
        return {"state": turn["state"] + str(turn["round"])}

    one = plan([kind("asker", start=True, grants=ASKS), CLOCK])
    run = simulate(one, {"asker": behave, "clock": clock(1)}, people={5: [(1, 0)]})
    assert [round_ for round_, _ in turns_of(run.rounds, 0)] == [1]  # its turn of round 2 waits, so does the alarm
    run = simulate(one, {"asker": behave, "clock": clock(9)}, people={5: [(1, 0)]})
    assert [round_ for round_, _ in turns_of(run.rounds, 0)][:3] == [1, 6, 7]


@pytest.mark.parametrize("what", ["state", "args", "plan", "drop", "stop"])
def test_a_change_of_what_a_waiting_turn_was_given_has_it_taken_anew(what: str) -> None:
    def behave(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        reply = effect({"effect": "ask", "question": f"{turn['state']}{turn['args']}{len(turn['inbox'])}"})
        return {"state": reply["ok"]["answer"]}

    one = plan([kind("asker", grants=ASKS)], messages=[("asker", "a"), ("asker", "b")])
    run = simulate(one, {"asker": behave})
    assert run.machine.waits
    change = {
        "state": ChangeRecord("state", 0, "new"),
        "args": ChangeRecord("args", 0, '{"a":1}'),
        "plan": ChangeRecord("plan", None, '{"seed":9}'),
        "drop": ChangeRecord("drop", 0),
        "stop": ChangeRecord("stop", 0),
    }[what]
    run.machine.step(OutsideChange(change))
    rest = simulate(one, {"asker": behave}, machine=run.machine, people={2: [(1, "old"), (2, "new")]})
    if what == "stop":
        assert rest.end is not None
        assert not rest.rounds[0].parks
        return
    again = rest.rounds[0].parks[0]
    assert (again.turn, again.questions[0].id) == (1, 2)
    assert again.questions[0].request != run.rounds[0].parks[0].questions[0].request or what == "plan"
    assert rest.rounds[1].turns[0].output is not None
    assert rest.rounds[1].turns[0].output.state == "new"


def test_a_stopped_agent_waits_no_more() -> None:
    def stopper(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "wake_in": 1} if turn["turn"] == 1 else {"state": "", "stop": ["asker"]}

    stops = kind("clock", start=True, grants=KindGrants(stop=("asker",)))
    run = simulate(plan([kind("asker", start=True, grants=ASKS), stops]), {"asker": asker({}), "clock": stopper})
    assert run.end is not None
    assert run.end.reason == "quiet"
    assert not run.machine.questions()


def test_the_head_covers_what_waits_and_what_is_answered() -> None:
    behaviours = {"asker": asker({"deadline": 9, "default": 1}), "clock": clock(6)}
    run = simulate(world(), behaviours, people={4: [(1, "yes")]})
    park = run.rounds[0].parks[0]
    question = park.questions[0]
    others = [
        replace(park, turn=2),
        replace(park, backlog=1),
        replace(park, calls=((1, True),)),
        replace(park, spent_bytes=park.spent_bytes + 1),
        replace(park, questions=(replace(question, request="{}"),)),
        replace(park, questions=(replace(question, deadline=8),)),
        replace(park, questions=(replace(question, id=2),)),
    ]
    for other in others:
        machine = Machine(world())
        with pytest.raises(DifferenceFound):
            machine.restore([replace(run.rounds[0], parks=(other,))])
    at = next(n for n, record in enumerate(run.rounds) if record.answers)
    for answers in ((), (AnswerRecord(1, answer_reply("no")),)):
        machine = Machine(world())
        with pytest.raises(DifferenceFound):
            machine.restore([*run.rounds[:at], replace(run.rounds[at], answers=answers)])


def test_the_bound_of_rounds_ends_a_run_that_waits() -> None:
    run = simulate(world(rounds_max=3), {"asker": asker({}), "clock": clock(9)})
    assert run.end is not None
    assert run.end.reason == "rounds_max"
