"""People who answer, under virtual time with faults: what they said in which round decides, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.sim.worlds import HASH, Simulable, kind, model
from turnwise.core.plan import AgentPlan, KindGrants, Plan, Schedule
from turnwise.core.question import answer_reply
from turnwise.core.records import AnswerRecord
from turnwise.sim import Effect, Simulator, Violation, simulate
from turnwise.sim.checks import check_ledger


def asks(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Asks a model, then people, then a model again; and keeps what it read."""
    state: list[Any] = json.loads(turn["state"] or "[]")
    said = effect({"effect": "generate", "model": "m", "prompt": f"{turn['self']} {turn['turn']}"})
    if turn["turn"] % 2:
        several = [{"effect": "ask", "question": f"{n}?", "deadline": 5 + n, "default": n} for n in range(2)]
        state.append(effect({"effects": [several[0], {"effect": "embed", "model": "m", "texts": ["x"]}, several[1]]}))
        state.append(effect({"effect": "ask", "question": "and now?", "deadline": 6, "default": "none"}))
        state.append(effect({"effect": "generate", "model": "m", "prompt": "after"}))
    state.append([said, turn["round"], [message["body"] for message in turn["inbox"]]])
    out: dict[str, Any] = {"state": json.dumps(state), "send": [{"to": "ticker", "body": str(len(state))}]}
    return out | ({"wake_in": 2} if turn["turn"] < 4 else {})


def ticks(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Moves in every round for a while, and writes to those that ask."""
    out: dict[str, Any] = {"state": "", "send": [{"to": "askers", "body": f"tick {turn['round']}"}]}
    return out | ({"wake_in": 1} if turn["round"] < 25 else {})


ANSWERS = {after: [(after % 9 + 1, {"said": after}), (after % 4 + 1, after)] for after in range(1, 30)}
"""To whatever question has such a number then: many come too late, twice, or to no question."""


def asking(schedule: Schedule) -> Simulable:
    grants = KindGrants(generate=("m",), embed=("m",), send=("ticker",), ask=True)
    asker = kind("asker", start=True, groups=("askers",), grants=grants)
    ticker = kind("ticker", start=True, grants=KindGrants(send=("askers",)))
    agents = [AgentPlan(f"asker-{n}", "asker") for n in range(3)] + [AgentPlan("ticker", "ticker")]
    plan = Plan("asking", 5, (asker, ticker), tuple(agents), schedule, models=(("m", HASH),), rounds_max=200)
    options = {"answer": model, "waved": ("m",), "answers": _known(ANSWERS)}
    return Simulable(plan, {"asker": asks, "ticker": ticks}, options)


def _known(answers: dict[int, list[tuple[int, Any]]]) -> dict[int, list[tuple[int, Any]]]:
    """Answers to numbers that are asked for sure by then: others are refused, as those of people are."""
    return {after: [(number, value) for number, value in of if number <= 3] for after, of in answers.items()}


@pytest.mark.parametrize("schedule", ["rounds", "sequential"])
@pytest.mark.parametrize("seeds", [range(4), pytest.param(range(4, 40), marks=pytest.mark.exhaustive)], ids=str)
def test_whatever_fails_the_answers_have_the_same_effect(schedule: Schedule, seeds: range) -> None:
    world = asking(schedule)
    simulator = world.simulator()
    rounds = simulator.undisturbed.rounds
    assert any(record.parks for record in rounds)
    assert any(record.answers for record in rounds)
    for seed in seeds:
        assert simulator.disturbed(seed).head == simulator.undisturbed.head, f"disturbed({seed})"


@pytest.mark.parametrize("schedule", ["rounds", "sequential"])
def test_answers_decide_and_the_order_of_work_does_not(schedule: Schedule) -> None:
    world = asking(schedule)
    people = world.options["answers"]
    heads = {simulate(world.plan, world.behaviours, answer=model, order=seed, people=people).head for seed in range(4)}
    assert len(heads) == 1
    others = dict(people) | {2: [(1, "else")]}
    assert simulate(world.plan, world.behaviours, answer=model, people=others).head not in heads


def test_the_checks_notice_what_cannot_be() -> None:
    """Control: a journal whose parks and answers do not belong together."""
    world = asking("rounds")
    options = {**world.options, "waved": ()}
    rounds = list(Simulator(world.plan, world.behaviours, **options).undisturbed.rounds)
    check_ledger(world.plan, rounds)
    at = next(n for n, record in enumerate(rounds) if record.answers)
    answer = rounds[at].answers[0]
    waits = next(n for n, record in enumerate(rounds) if record.parks)
    park = rounds[waits].parks[0]
    others = rounds[waits].parks[1:]
    forged = [
        ("which is not open", at, replace(rounds[at], answers=(answer, answer))),
        ("which is not open", at, replace(rounds[at], answers=(AnswerRecord(99, answer_reply(1)),))),
        ("another reply", at, replace(rounds[at], answers=(replace(answer, reply=answer_reply("forged")),))),
        ("after 0", waits, replace(rounds[waits], parks=others)),
        ("read others|other mail", waits, replace(rounds[waits], parks=(replace(park, inbox=(0,)), *others))),
        ("turn 7", waits, replace(rounds[waits], parks=(replace(park, turn=7), *others))),
    ]
    for what, number, record in forged:
        with pytest.raises(Violation, match=what):
            check_ledger(world.plan, [*rounds[:number], record, *rounds[number + 1 :]])
