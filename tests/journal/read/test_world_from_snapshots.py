"""States and unread messages at any round are the same with the help of snapshots as without."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

import turnwise
from tests.guests import constant
from tests.history.forger import edited_snapshot, without_snapshots
from tests.journal.played import go_on
from turnwise import Agent, Grants
from turnwise.core.events import Execute
from turnwise.core.turn import Send, TurnOutput
from turnwise.journal import Journal

AGENTS, ROUNDS = 60, 150


def moody(action: Execute) -> TurnOutput:
    """Sometimes sends, and sleeps for long, so that states are of many rounds and messages wait."""
    turn = action.input
    chance = Random(f"{turn.round} {action.place}")
    if turn.round > 3 and action.place < 5:
        return TurnOutput(state="asleep for good")
    sends = (Send(f"agent-{chance.randint(6, AGENTS)}", f"hello in {turn.round}"),) if chance.random() < 0.5 else ()
    return TurnOutput(f"{turn.round}", sends, wake_in=chance.choice([1] * 20 + [2, 30]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    agent = Agent(constant({"state": "x", "wake_in": 1}), count=AGENTS, start=True, grants=Grants(send=["*"]))
    world = turnwise.World(name="moody", rounds_max=10_000, agents={"agent": agent})
    path = tmp_path_factory.mktemp("moody") / "whole.journal"
    with world.start(journal=path, workers=1) as live:
        live.step()
    go_on(path, ROUNDS, moody)
    return path


def compared(path: Path, other: Path) -> set[int]:
    """Compare the worlds of two journals after many rounds; return the rounds of the snapshots that helped."""
    with Journal.open(path) as journal, Journal.open(other) as without:
        assert without.snapshots.latest(without.rounds.last_round) is None
        kept = [snapshot.round for snapshot in journal.snapshots.all()]
        last = journal.rounds.last_round
        for at in {1, 50, 100, 101, last - 1, last, *kept, *[round_ - 1 for round_ in kept]}:
            for place in range(AGENTS):
                assert journal.world.state_at(place, at) == without.world.state_at(place, at)
            assert journal.world.pending(at) == without.world.pending(at)
        return set(kept)


def test_the_world_is_that_of_all_rounds(whole: Path, tmp_path: Path) -> None:
    assert len(compared(whole, without_snapshots(whole, tmp_path))) >= 2


def test_the_latest_snapshot_has_what_can_be_mistaken(whole: Path) -> None:
    """Control: states of many rounds, one of the first among them, and messages that wait."""
    with Journal.open(whole) as journal:
        latest = journal.snapshots.latest(ROUNDS)
        assert latest is not None
        assert min(latest.left) < 10
        assert len(set(latest.left)) > 5
        assert len(journal.world.pending(latest.round)) > 3


def test_a_fork_with_changes_has_its_own_world(whole: Path, tmp_path: Path) -> None:
    with Journal.open(whole) as journal:
        dropped = journal.world.pending(100)[0].message.seq
    fork = tmp_path / "fork.journal"
    with turnwise.fork(whole, 100, journal=fork, workers=1, states={"agent-60": "other"}, drop=[dropped]) as live:
        live.step()
    go_on(fork, 110, moody)
    assert compared(fork, without_snapshots(fork, tmp_path))
    with Journal.open(fork) as journal:
        assert journal.world.state_at(AGENTS - 1, 100) != "other"
        assert dropped not in [pending.message.seq for pending in journal.world.pending(101)]


@pytest.mark.parametrize("what", ["no such turn", "a later turn", "fewer agents"])
def test_a_snapshot_that_cannot_be_used_is_passed_over(whole: Path, tmp_path: Path, what: str) -> None:
    with Journal.open(whole) as journal:
        latest = journal.snapshots.latest(ROUNDS)
        assert latest is not None
        at = latest.round
        right = [journal.world.state_at(place, at) for place in range(AGENTS)]
        had = {(round_, turn.place) for round_, turn in journal.queries.turns()}

    def edit(numbers: dict[str, list[int]]) -> None:
        if what == "fewer agents":
            del numbers["left"][:]
        elif what == "a later turn":
            numbers["left"] = [at + 1] * AGENTS
        else:
            numbers["left"] = [
                next((number for number in range(1, at) if (number, place) not in had), left)
                for place, left in enumerate(numbers["left"])
            ]

    with Journal.open(edited_snapshot(whole, tmp_path, edit)) as journal:
        assert [journal.world.state_at(place, at) for place in range(AGENTS)] == right
