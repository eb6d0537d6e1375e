from __future__ import annotations

from typing import Any

import pytest

from turnwise.world import Agent, Grants, InitialMessage, World
from turnwise.world.meaning import reachability
from turnwise.world.meaning.reachability import unreachable

SOURCE = "def turn(t):\n    pass\n"


def agent(**options: Any) -> Agent:
    return Agent(SOURCE, **options)


def names(world: World) -> list[str]:
    found = unreachable(world.resolve())
    assert all(problem.is_warning for problem in found)
    return [problem.where.rpartition(".")[2] for problem in found]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ({}, ["a", "b"]),
        ({"start": True}, ["b"]),
        ({"start": True, "grants": Grants(send=["b"])}, []),
        ({"start": True, "grants": Grants(send=["b*"])}, []),
        ({"start": True, "grants": Grants(send=["?"])}, []),
        ({"start": True, "grants": Grants(send=["a*"])}, ["b"]),
        ({"start": True, "grants": Grants(send=["bees"])}, []),
        ({"start": True, "grants": Grants(send=["bee*"])}, []),
        ({"start": True, "grants": Grants(spawn=["b"])}, []),
        ({"grants": Grants(send=["b"])}, ["a", "b"]),
    ],
)
def test_kinds_that_nobody_reaches(first: dict[str, Any], expected: list[str]) -> None:
    assert names(World("w", agents={"a": agent(**first), "b": agent(groups=["bees"])})) == expected


@pytest.mark.parametrize("to", ["b", "bees"])
def test_messages_reach(to: str) -> None:
    world = World("w", agents={"a": agent(start=True), "b": agent(groups=["bees"])}, messages=[InitialMessage(to, "")])
    assert names(world) == []


def test_who_is_reached_reaches_others() -> None:
    chain = {f"a{n}": agent(grants=Grants(send=[f"a{n + 1}"]), start=n == 0) for n in range(5)}
    assert names(World("w", agents={**chain, "a5": agent(), "other": agent()})) == ["other"]


def test_kinds_without_agents_and_numbered_ones() -> None:
    agents = {"a": agent(start=True, grants=Grants(send=["b-2"])), "b": agent(count=3), "none": agent(count=0)}
    assert names(World("w", agents=agents)) == []


def test_what_would_take_too_long_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("w", agents={"a": agent(start=True, grants=Grants(send=["a*"])), "b": agent()})
    assert names(world) == ["b"]
    monkeypatch.setattr(reachability, "COMPARISONS_MAX", 1)
    assert names(world) == []
