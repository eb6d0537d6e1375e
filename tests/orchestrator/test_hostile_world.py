"""Honest agents do the same whether hostile ones are beside them or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import turnwise
from tests.guests import constant
from tests.orchestrator.hostile import HOSTILE, WAKES
from tests.orchestrator.worlds import LIVELY_WAT, TALKER
from turnwise import Agent, Grants, InitialMessage, World

ROUNDS = 4

HONEST: dict[str, Agent] = {
    "honest": Agent(TALKER, count=3, start=True, groups=["talkers"], grants=Grants(send=["talkers"])),
    "quick": Agent(LIVELY_WAT, count=3, start=True, groups=["all"], grants=Grants(send=["quick-*", "all"])),
}


def world(others: Mapping[str, Agent]) -> World:
    wakes = Agent(WAKES, start=True, grants=Grants(send=["hostile"]))
    return World(
        "hostile",
        seed=11,
        rounds_max=ROUNDS,
        agents_max=2_000,
        agents={
            **HONEST,
            **others,
            **({"wakes": wakes} if any(a.groups == ["hostile"] for a in others.values()) else {}),
        },
        messages=[InitialMessage("quick-1", "go")],
    )


Outcome = tuple[object, ...]


def outcomes(journal: Path, others: Mapping[str, Agent]) -> dict[str, list[Outcome]]:
    """All that honest agents did, round by round, as they themselves can tell."""
    with turnwise.run(world(others), journal=journal, workers=2) as run:
        bodies = {message.seq: (message.sender, message.round, message.body) for message in run.messages}
        found: dict[str, list[Outcome]] = {}
        for turn in run.turns:
            if turn.agent.rpartition("-")[0] in HONEST:
                inbox = [bodies[seq] for seq in turn.inbox]
                failure = turn.failure.kind if turn.failure else None
                found.setdefault(turn.agent, []).append(
                    (turn.round, turn.turn, inbox, turn.output, failure, turn.stdout, turn.fuel)
                )
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Outcome]]:
    return outcomes(tmp_path_factory.mktemp("alone") / "alone.journal", {})


def test_honest_agents_are_busy(alone: dict[str, list[Outcome]]) -> None:
    assert len(alone) == 6
    assert sum(map(len, alone.values())) >= 3 * len(alone)


@pytest.mark.timeout(1200)
def test_honest_agents_do_the_same_beside_hostile_ones(alone: dict[str, list[Outcome]], tmp_path: Path) -> None:
    path = tmp_path / "hostile.journal"
    assert outcomes(path, HOSTILE) == alone
    with turnwise.open(path) as run:
        assert run.status == "rounds_max"
        failed = {turn.agent for turn in run.failures}
    quiet = {"hostile-hub", "floods", "returns-strangers", "prints", "asks-for-effects", "long-integers"}
    expected = {name for name in HOSTILE if name not in quiet}
    assert expected - failed - {"reads-deep-mail"} == set()
    assert turnwise.replay(path, workers=2).difference is None


def test_the_page_on_reliability_counts_them(alone: dict[str, list[Outcome]]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert f"| {len(HOSTILE)} agents beside {len(alone)} honest ones |" in page


def test_whoever_may_speak_to_honest_agents_does_change_them(alone: dict[str, list[Outcome]], tmp_path: Path) -> None:
    """The comparison notices it when hostile agents do reach honest ones."""
    speaks = Agent(HOSTILE["sends-to-all"].source, start=True, grants=Grants(send=["*"]))
    shout = constant({"state": "", "send": [{"to": "talkers", "body": "x"}]})
    shouts = Agent(shout, start=True, grants=Grants(send=["talkers"]))
    assert outcomes(tmp_path / "speaks.journal", {"speaks": speaks}) == alone  # nobody is called `honest`
    assert outcomes(tmp_path / "shouts.journal", {"shouts": shouts}) != alone
