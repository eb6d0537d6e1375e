"""Lanes by lineage: who was spawned lies behind who spawned it, and every turn is in the lane of its agent."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

import turnwise
from tests.monitor.conftest import Monitor
from turnwise import Run
from turnwise.journal.read import grid
from turnwise.monitor.answers.lanes import lineage

SPAWNER = """
def turn(t):
    depth = t.args["depth"] if t.args else 0
    if depth < 2 and t.turn <= 2:
        t.spawn("spawner", f"{t.self_name}.{t.turn}", args={"depth": depth + 1})
    t.wake_in(1 + depth)
"""


def test_children_follow_their_parents_in_order_of_place() -> None:
    assert lineage([None, None, 0, 1, 0, 2]) == [(0, 0), (2, 1), (5, 2), (4, 1), (1, 0), (3, 1)]
    assert lineage([]) == []
    assert lineage([None] * 3) == [(0, 0), (1, 0), (2, 0)]


def test_a_parent_that_cannot_be_one_is_none() -> None:
    assert lineage([1, None, 2]) == [(0, 0), (1, 0), (2, 0)]


@pytest.fixture(scope="module")
def spawned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Monitor]]:
    folder = tmp_path_factory.mktemp("spawned")
    agent = turnwise.Agent(SPAWNER, count=2, start=True, grants=turnwise.Grants(spawn=["spawner"]))
    world = turnwise.World("spawning", rounds_max=12, agents={"spawner": agent})
    with turnwise.run(world, journal=folder / "a.journal") as run:
        shown = Monitor(folder)
        yield run, shown
        shown.close()


@pytest.mark.parametrize("joined", ["_TURN_OF_EACH_LANE", "_LANE_OF_EACH_TURN"])
@pytest.mark.parametrize(("round_bits", "lane_bits"), [(0, 0), (2, 1)])
def test_each_turn_is_in_the_lane_of_its_agent(
    spawned: tuple[Run, Monitor], monkeypatch: pytest.MonkeyPatch, joined: str, round_bits: int, lane_bits: int
) -> None:
    run, monitor = spawned
    for name in ("_TURN_OF_EACH_LANE", "_LANE_OF_EACH_TURN"):
        monkeypatch.setattr(grid, name, getattr(grid, joined))
    answer = monitor.ask("agents", run="a.journal", lanes="lineage", first=0, count=100)
    lanes = {agent["name"]: agent["place"] for agent in answer["agents"]}
    assert len(lanes) == len(list(run.agents)) > 6
    assert [agent["depth"] for agent in answer["agents"]] != sorted(agent["depth"] for agent in answer["agents"])
    asked = f"/api/tile?run=a.journal&lanes=lineage&measure=turns&round_bits={round_bits}&place_bits={lane_bits}"
    data = monitor.get(asked).body
    count = len(data) // 16
    found = dict(
        zip(struct.unpack_from(f"<{count}I", data), struct.unpack_from(f"<{count}I", data, 4 * count), strict=True)
    )
    expected: dict[int, int] = {}
    for turn in run.turns:
        cell = (turn.round >> round_bits) + 256 * (lanes[turn.agent] >> lane_bits)
        expected[cell] = expected.get(cell, 0) + 1
    assert found == expected


def test_pages_of_lanes_say_where_there_are_more(spawned: tuple[Run, Monitor]) -> None:
    _, monitor = spawned
    first = monitor.ask("agents", run="a.journal", lanes="lineage", first=0, count=3)
    then = monitor.ask("agents", run="a.journal", lanes="lineage", first=3, count=1_000)
    assert (len(first["agents"]), first["more"], then["more"]) == (3, True, False)
    assert [agent["place"] for agent in first["agents"] + then["agents"]] == list(range(3 + len(then["agents"])))
