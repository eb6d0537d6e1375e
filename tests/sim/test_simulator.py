"""The simulator runs the real core."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.worlds import kind, plan, sends
from turnwise.core.turn import FailureClass
from turnwise.sim import Effect, simulate


def counts(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    return {"state": turn["state"] + "x", "wake_in": 1}


def test_a_number_of_rounds_can_be_simulated_and_continued() -> None:
    world = plan([kind("a", start=True)], rounds_max=10)
    first = simulate(world, {"a": counts}, rounds=4)
    assert (len(first.rounds), first.end) == (4, None)
    rest = simulate(world, {"a": counts}, machine=first.machine)
    assert len(rest.rounds) == 6
    assert rest.head == simulate(world, {"a": counts}).head


def test_an_exception_of_a_behaviour_is_its_agents_failure() -> None:
    def fails(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        raise KeyError("gone")

    turn = simulate(plan([kind("a", start=True)]), {"a": fails}).rounds[0].turns[0]
    assert turn.failure is not None
    assert (turn.failure.kind, turn.failure.message) == (FailureClass.RAISED, "KeyError: 'gone'")


def test_effects_need_an_answer() -> None:
    from turnwise.core.plan import KindGrants

    def asks(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        effect({"effect": "generate", "model": "m", "prompt": "x"})
        return {"state": ""}

    with pytest.raises(ValueError, match="pass `answer`"):
        simulate(plan([kind("a", start=True, grants=KindGrants(generate=("m",)))]), {"a": asks})


def test_a_crowd_is_simulated() -> None:
    def talks(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "send": [{"to": "hub", "body": turn["self"]}], "wake_in": 1}

    kinds = [kind("hub"), kind("t", start=True, grants=sends("hub"))]
    world = plan(kinds, ["hub:hub", *[f"t-{i}:t" for i in range(500)]], rounds_max=5)
    run = simulate(world, {"hub": lambda turn, effect: {"state": str(len(turn["inbox"]))}, "t": talks}, order=1)
    assert run.machine.world.by_name["hub"].state == "500"
