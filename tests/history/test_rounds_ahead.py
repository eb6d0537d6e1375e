"""Rounds that are executed ahead change nothing of what a replay finds."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import turnwise
from tests.history.forger import changed, rechained
from tests.orchestrator.worlds import lively
from turnwise import Agent, Grants, InitialMessage, JournalError
from turnwise.core.machine import Machine
from turnwise.core.plan_json import plan_from_json
from turnwise.core.records import RoundRecord
from turnwise.core.state import WorldState
from turnwise.history import rounds_ahead
from turnwise.history.replay_driver import Nowhere, ReplayDriver
from turnwise.history.rounds_ahead import RoundsAhead, worthwhile
from turnwise.journal import Journal
from turnwise.sandbox.execute.jobs import TurnJob

REPLAY = importlib.import_module("turnwise.history.replay")
PASSER = """
def turn(t):
    t.state["got"] = [m.body for m in t.inbox]
    print("turn", t.turn)
    for n in (1, 2):
        try:
            t.generate("nothing", "x")
        except Exception as error:
            t.log(error.kind)
    t.send(t.args["to"], f"{t.self_name} {t.turn}")
"""


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of which two agents pass messages on, one turn a round each."""
    path = tmp_path_factory.mktemp("passed") / "a.journal"
    args = [{"to": "a-2"}, {"to": "a-1"}]
    world = turnwise.World(
        name="passed",
        rounds_max=40,
        agents={"a": Agent(PASSER, args=args, grants=Grants(send=["*"]))},
        messages=[InitialMessage("a-1", "one"), InitialMessage("a-2", "two")],
    )
    turnwise.run(world, journal=path).close()
    return path


@pytest.fixture(scope="module", params=["rounds", "sequential"])
def lived(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lived") / "a.journal"
    turnwise.run(lively(seed=5, rounds_max=16, schedule=request.param), journal=path).close()
    return path


def one_after_the_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> turnwise.Replay:
    with monkeypatch.context() as patched:
        patched.setattr(REPLAY, "worthwhile", lambda *_: False)
        return turnwise.replay(path, workers=2)


FORGED = [
    "UPDATE turns SET state = 'forged' WHERE failure IS NULL AND round = 4",
    "UPDATE turns SET state = 'forged' WHERE failure IS NULL AND round IN (9, 3)",
    "UPDATE turns SET executions = 2 WHERE round = 5",
    "UPDATE turns SET wake_in = 5 WHERE wake_in = 1 AND round >= 3",
    "UPDATE messages SET body = 'forged' WHERE round >= 3",
    "UPDATE agents SET state = 'forged' WHERE place = 1",
]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_honest_run_is_equal(lived: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = turnwise.replay(lived, workers=workers)
    assert found.difference is None
    assert found == one_after_the_other(lived, monkeypatch)


def test_an_honest_run_of_rounds_of_few_turns_is_equal(passed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = turnwise.replay(passed, workers=2)
    assert found.difference is None
    assert found == one_after_the_other(passed, monkeypatch)


@pytest.mark.parametrize("statement", FORGED)
def test_the_same_difference_is_found_as_one_round_after_the_other(
    lived: Path, tmp_path: Path, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rechained(changed(lived, tmp_path, statement))
    found = turnwise.replay(path, workers=2)
    assert found.difference is not None
    assert found == one_after_the_other(path, monkeypatch)


def test_damage_of_a_later_round_does_not_come_before_a_difference(lived: Path, tmp_path: Path) -> None:
    rounds = [*turnwise.open(lived).rounds]
    forged = [*rounds[:2], replace(rounds[2], turns=())]

    def damaged() -> Iterator[RoundRecord]:
        yield from forged
        raise JournalError("damaged")

    with Journal.open(lived) as journal:
        plan = plan_from_json(journal.header.plan)
    driver = ReplayDriver(Machine(plan), Nowhere(), None)
    ahead = RoundsAhead(driver, WorldState(plan), damaged())
    ahead.pool = FakePool()
    seen = iter(ahead)
    assert [next(seen).round for _ in range(3)] == [1, 2, 3]
    with pytest.raises(JournalError, match="damaged"):
        next(seen)


class FakePool:
    """Takes jobs, and executes none."""

    def __init__(self) -> None:
        self.jobs: list[TurnJob] = []

    def submit(self, jobs: Sequence[TurnJob]) -> None:
        self.jobs += jobs


@pytest.fixture
def ahead(passed: Path) -> Iterator[tuple[RoundsAhead, FakePool]]:
    with Journal.open(passed) as journal:
        plan = plan_from_json(journal.header.plan)
        driver = ReplayDriver(Machine(plan), Nowhere(), None)
        rounds = RoundsAhead(driver, WorldState(plan), journal.rounds.between())
        rounds.pool = pool = FakePool()
        yield rounds, pool


def rounds_of(jobs: Sequence[TurnJob]) -> list[int]:
    return sorted({job.input.round for job in jobs})  # type: ignore[union-attr]


def test_all_rounds_that_there_is_room_for_are_handed_out_with_the_first(ahead: tuple[RoundsAhead, FakePool]) -> None:
    rounds, pool = ahead
    assert next(iter(rounds)).round == 1
    assert rounds_of(pool.jobs) == list(range(1, 41))


@pytest.mark.parametrize(("name", "bound"), [("TURNS_MAX", 6), ("BYTES_MAX", 400)])
def test_no_more_is_handed_out_than_the_bound(
    ahead: tuple[RoundsAhead, FakePool], name: str, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds_ahead, name, bound)
    rounds, pool = ahead
    handed = []
    for record in rounds:
        newest = rounds_of(pool.jobs)[-1]
        handed.append(newest - record.round)
    assert len(handed) == 40
    assert 1 <= max(handed) <= 4


def test_nothing_of_a_round_is_kept_once_it_has_been_played(ahead: tuple[RoundsAhead, FakePool]) -> None:
    rounds, _ = ahead
    for _ in rounds:
        pass
    assert (rounds.turns, rounds.bytes) == (0, 0)


def test_rounds_of_many_turns_need_no_others() -> None:
    assert worthwhile(turns=1000, rounds=1000, workers=2)
    assert worthwhile(turns=20 * 100, rounds=100, workers=1)
    assert not worthwhile(turns=100_000, rounds=100, workers=2)
