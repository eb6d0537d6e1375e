"""The whole orchestrator under virtual time: faults of every kind, and the head of the undisturbed run."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from typing import Any

import pytest

from tests.sim.test_tools import OF_TOOLS
from tests.sim.worlds import WORLDS, waves
from turnwise.errors import UsageError
from turnwise.sim import Effect, Faults, Simulator, simulate

SEEDS = {name: range({"crowd": 4, "mixed": 24}.get(name, 6)) for name in WORLDS}
"""40 runs together, fewest of the world that takes longest. `python -m tests.sim` plays thousands."""


@pytest.mark.parametrize("name", WORLDS)
def test_whatever_fails_the_run_ends_as_without_faults(name: str) -> None:
    simulator = WORLDS[name]().simulator()
    struck: Counter[str] = Counter()
    for seed in SEEDS[name]:
        found = simulator.disturbed(seed)
        assert found.head == simulator.undisturbed.head, f"python -m tests.sim --worlds {name} --seeds {seed}..{seed}"
        struck.update(found.faults)
    if name == "mixed":
        mine = {item.name for item in fields(Faults)} - OF_TOOLS
        assert mine <= struck.keys(), "a fault that never strikes tests nothing"


def test_as_many_runs_as_the_pages_say() -> None:
    assert sum(map(len, SEEDS.values())) == 40


def test_a_seed_repeats_all_that_happens() -> None:
    one, two = WORLDS["mixed"]().simulator(), WORLDS["mixed"]().simulator()
    traces = [one.disturbed(seed).trace for seed in range(5)]
    assert traces == [two.disturbed(seed).trace for seed in reversed(range(5))][::-1]
    assert len(set(traces)) == len(traces)


def test_the_core_alone_comes_to_the_same_head() -> None:
    world = WORLDS["crowd"]()
    assert simulate(world.plan, world.behaviours, order=3).head == world.simulator().undisturbed.head


def test_what_runs_beside_what_shows_in_the_answers_of_a_wave() -> None:
    """Control: asked one by one, the same models answer otherwise, so that a wave that is cut otherwise is noticed."""
    world = waves()
    alone = Simulator(world.plan, world.behaviours, answer=world.options["answer"])
    assert alone.undisturbed.head != world.simulator().undisturbed.head


def test_a_wave_whose_last_message_overtakes_another_is_asked_again() -> None:
    """Found by seed 1: the answer was taken without those on the way, and their turns waited for ever."""
    simulator = waves().simulator()
    for seed in range(20):
        assert simulator.disturbed(seed, Faults(reorder=0.2)).head == simulator.undisturbed.head


def test_two_behaviours_of_one_code_are_refused() -> None:
    """Control: sandboxes would execute the one for the other, and the simulation would compare a world with itself."""
    world = WORLDS["crowd"]()
    hub, talker = world.plan.kinds
    shared = replace(world.plan, kinds=(hub, replace(talker, code=hub.code)))
    with pytest.raises(UsageError, match="hub and talker have one code and two behaviours"):
        Simulator(shared, world.behaviours)
    Simulator(shared, {"hub": world.behaviours["hub"], "talker": world.behaviours["hub"]})


def test_a_kind_without_a_behaviour_is_named() -> None:
    def still(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": ""}

    with pytest.raises(UsageError, match="kinds without a behaviour: talker"):
        Simulator(WORLDS["crowd"]().plan, {"hub": still})
