"""Everything that `--set` changes in a fork: what the plan says from then on, and what stays as it was."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import turnwise
from turnwise import Agent, Grants, Run, UsageError
from turnwise.core.machine import Machine
from turnwise.core.plan import AgentPlan, Kind, Limits, Plan
from turnwise.core.plan_change import changed_plan
from turnwise.core.records import ChangeRecord
from turnwise.orchestrator.fork_changes import ForkChanges, records_of

PLAN = Plan(
    "world",
    1,
    (Kind("one", "c1" * 32), Kind("other", "c2" * 32)),
    (AgentPlan("one", "one"), AgentPlan("other", "other")),
    models=(("model", "d1" * 32),),
    rounds_max=10,
)
CODES = {kind.name: kind.code for kind in PLAN.kinds}
MIB = 1024 * 1024


def changed(*settings: str, **changes: Any) -> Plan:
    """The plan after a fork with these settings, whose only record is that of the plan."""
    (record,) = records(*settings, **changes)
    assert (record.what, record.target) == ("plan", None)
    return changed_plan(PLAN, str(record.text))


def records(*settings: str, **changes: Any) -> list[ChangeRecord]:
    return records_of(Machine(PLAN).world, PLAN, ForkChanges(settings=settings, **changes), CODES, dict(PLAN.models))


BOUNDS = {
    "fuel": (1000, "fuel", 1000),
    "memory_mib": (3, "memory_bytes", 3 * MIB),
    "output_mib": (2, "output_bytes_max", 2 * MIB),
    "effects_max": (0, "effects_max", 0),
    "effects_mib": (2, "effects_bytes_max", 2 * MIB),
    "put_mib": (2, "put_bytes_max", 2 * MIB),
    "state_mib": (2, "state_bytes_max", 2 * MIB),
    "inbox_mib": (2, "inbox_bytes_max", 2 * MIB),
    "send_mib": (2, "send_bytes_max", 2 * MIB),
    "deliveries_max": (7, "deliveries_max", 7),
}
"""Keys of a world file: a value, the member of the limits that it sets, and what stands there."""


def test_every_bound_of_a_turn_can_be_changed() -> None:
    assert {member for _, member, _ in BOUNDS.values()} == {field.name for field in fields(Limits)}


@pytest.mark.parametrize("key", BOUNDS)
def test_a_bound_of_a_turn_is_that_of_one_kind(key: str) -> None:
    value, member, stored = BOUNDS[key]
    one, other = changed(f"agents.one.{key}={value}").kinds
    assert one.limits == replace(PLAN.kinds[0].limits, **{member: stored})
    assert one.limits != PLAN.kinds[0].limits
    assert other == PLAN.kinds[1]


@pytest.mark.parametrize(
    ("act", "value", "stored"),
    [
        ("send", '["other", "one"]', ("one", "other")),
        ("spawn", '["other"]', ("other",)),
        ("stop", '["other"]', ("other",)),
        ("generate", '["model"]', ("model",)),
        ("infer", '["model"]', ("model",)),
        ("embed", '["model"]', ("model",)),
        ("finish", "true", True),
    ],
)
def test_a_grant_is_that_of_one_kind(act: str, value: str, stored: object) -> None:
    one, other = changed(f"agents.one.grants.{act}={value}").kinds
    assert one.grants == replace(PLAN.kinds[0].grants, **{act: stored})
    assert other == PLAN.kinds[1]


@pytest.mark.parametrize(
    ("setting", "member", "value"),
    [
        ("world.rounds_max=40", "rounds_max", 40),
        ("world.agents_max=5", "agents_max", 5),
        ("world.on_failure=stop", "on_failure", "stop"),
    ],
)
def test_a_bound_of_the_world_is_set_and_nothing_else(setting: str, member: str, value: object) -> None:
    assert getattr(PLAN, member) != value
    assert changed(setting) == replace(PLAN, **{member: value})


def test_a_seed_and_a_model_are_changes_of_the_plan() -> None:
    assert changed(seed=8) == replace(PLAN, seed=8)
    (record,) = records_of(Machine(PLAN).world, PLAN, ForkChanges(), CODES, {"model": "d2" * 32})
    assert changed_plan(PLAN, str(record.text)).models == (("model", "d2" * 32),)
    (record,) = records_of(Machine(PLAN).world, PLAN, ForkChanges(), CODES | {"one": "c3" * 32}, dict(PLAN.models))
    assert [kind.code for kind in changed_plan(PLAN, str(record.text)).kinds] == ["c3" * 32, "c2" * 32]


def test_what_is_as_it_was_is_no_change() -> None:
    assert not records("world.rounds_max=10", seed=1)


@pytest.mark.parametrize(
    "setting",
    [
        'agents.one.grants.spawn=["nobody"]',
        'agents.one.grants.generate=["nothing"]',
        "agents.one.grants.send=other",
        "agents.one.grants.finish=1",
        "agents.one.effects_max=-1",
        "agents.one.memory_mib=0",
        "agents.nobody.fuel=9",
        "agents.one.system=1",
        "world.on_failure=maybe",
        "world.agents_max=0",
        "world.name=other",
        "agents.one.args=1",
        "models.model.path=elsewhere",
    ],
)
def test_what_cannot_be_set_is_refused(setting: str) -> None:
    with pytest.raises(UsageError, match=r"."):
        records(setting)


# -- played ----------------------------------------------------------------------------------------------------------

CLERK = """
def turn(t):
    for message in t.inbox:
        t.state["heard"] = t.state.get("heard", []) + [message.body]
    if t.args.get("asks"):
        t.send("room", f"{t.self_name} {t.turn}")
    if t.args.get("fails") and t.turn > 3:
        raise ValueError("enough")
    t.wake_in(1)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three who hear of each other in a room, one of whom fails from the fourth round on, and one outside of it."""
    world = turnwise.World(
        name="office",
        rounds_max=6,
        agents={
            "asker": Agent(CLERK, args={"asks": True}, start=True, groups=["room"], grants=Grants(send=["room"])),
            "clerk": Agent(CLERK, start=True, groups=["room"]),
            "loser": Agent(CLERK, args={"fails": True}, start=True, groups=["room"]),
            "hermit": Agent(CLERK, start=True),
        },
    )
    return turnwise.run(world, journal=tmp_path_factory.mktemp("office") / "run.journal", workers=1)


def forked(run: Run, path: Path, **changes: Any) -> Run:
    found = turnwise.fork(run, 2, journal=path, workers=1, **changes).result()
    found.check()
    replayed = turnwise.replay(found.path, workers=1)
    assert (replayed.difference, replayed.head) == (None, found.head)
    assert found.head != run.head
    return found


def turns(run: Run, name: str) -> list[object]:
    return [(turn.round, turn.turn, turn.output, turn.failure) for turn in run.turns if turn.agent == name]


def test_a_message_to_a_group_reaches_all_of_it_and_nobody_else(run: Run, tmp_path: Path) -> None:
    found = forked(run, tmp_path / "fork.journal", messages={"room": ["listen", "now"]})
    for name in ("asker", "clerk", "loser"):
        heard, before = (json.loads(found.state(name, round_)).get("heard", []) for round_ in (3, 2))
        assert [body for body in heard[len(before) :] if body in ("listen", "now")] == ["listen", "now"]
    assert turns(found, "hermit") == turns(run, "hermit")


def test_a_grant_that_is_taken_away_silences_an_agent(run: Run, tmp_path: Path) -> None:
    found = forked(run, tmp_path / "fork.journal", overrides=["agents.asker.grants.send=[]"])
    assert [turn.round for turn in found.failures if turn.agent == "asker"] == [3]  # and it is not woken again
    assert found.state("clerk") != run.state("clerk")
    assert turns(found, "hermit") == turns(run, "hermit")


def test_another_end_at_a_failure_and_more_rounds(run: Run, tmp_path: Path) -> None:
    assert run.last_round == 6
    stopped = forked(run, tmp_path / "stopped.journal", overrides=["world.on_failure=stop"])
    assert (stopped.status, stopped.last_round) == ("failed", 4)
    longer = forked(run, tmp_path / "longer.journal", overrides=["world.rounds_max=9"])
    assert longer.last_round == 9
    for name in ("asker", "clerk", "loser", "hermit"):
        assert turns(longer, name)[: len(turns(run, name))] == turns(run, name)
