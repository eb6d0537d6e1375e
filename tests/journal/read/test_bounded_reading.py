"""The reading that it takes to go on with a run is bounded, however long the run is; what is found is the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import turnwise
from tests.guests import constant
from tests.history.forger import without_snapshots
from tests.journal.played import go_on
from tests.journal.rows_read import RowsRead
from turnwise import Agent
from turnwise.core import snapshot
from turnwise.core.events import Execute
from turnwise.core.turn import TurnOutput
from turnwise.journal import Journal

AGENTS, PERIOD = 100, snapshot.TURNS_MIN // 100 + 1
"""Agents that all have a turn in each round, and the rounds between two snapshots of theirs."""

OTHERS_MAX = 60
"""Rows beyond those of turns and rounds: the agents, the plan and so on, each at most a few times."""


def awake(_: Execute) -> TurnOutput:
    return TurnOutput(state="x", wake_in=1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Open journals of one world by their rounds: each but the first goes on from the one before."""
    world = turnwise.World(
        name="awake",
        rounds_max=10_000,
        agents={"agent": Agent(constant({"state": "x", "wake_in": 1}), count=AGENTS, start=True)},
    )
    folder = tmp_path_factory.mktemp("long")
    path = folder / "first.journal"
    with world.start(journal=path, workers=1) as live:
        live.step()
    found = {}
    for rounds in (3 * PERIOD - 1, 15 * PERIOD - 1):
        path = Path(shutil.copy(path, folder / f"{rounds}.journal"))
        go_on(path, rounds, awake)
        found[rounds] = path
    return found


def check(read: RowsRead, rounds: int) -> None:
    """Compare what was read with what belongs to so many rounds."""
    assert read.by_table["rounds"] <= rounds + OTHERS_MAX
    assert read.by_table["turns"] <= (rounds + 1) * AGENTS  # those whose states the snapshot names, too
    assert read.by_table.total() <= rounds * (AGENTS + 1) + AGENTS + OTHERS_MAX


def test_resuming_reads_no_more_of_a_long_run(runs: dict[int, Path], tmp_path: Path) -> None:
    taken = []
    for rounds, path in runs.items():
        copy = Path(shutil.copy(path, tmp_path / f"{rounds}.journal"))
        with pytest.MonkeyPatch.context() as patch:
            read = RowsRead(patch)
            with turnwise.resume(copy, workers=1) as live:
                record = live.step()
            check(read, PERIOD)
        assert getattr(record, "round", None) == rounds + 1
        taken.append(read.by_table.total())
    assert abs(taken[0] - taken[1]) <= OTHERS_MAX  # 3 and 15 times the turns between two snapshots


def test_without_snapshots_all_rounds_are_read(runs: dict[int, Path], tmp_path: Path) -> None:
    """Control: the count sees what is read."""
    rounds, path = list(runs.items())[-1]
    copy = without_snapshots(path, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        read = RowsRead(patch)
        with turnwise.resume(copy, workers=1) as live:
            live.step()
    assert read.by_table["turns"] == rounds * AGENTS
    assert read.by_table["rounds"] >= rounds


def test_questions_about_the_world_read_no_more_of_a_long_run(
    runs: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds, path = list(runs.items())[-1]
    with turnwise.open(path) as run, Journal.open(path) as journal:
        read = RowsRead(monkeypatch)
        for at in (None, rounds - 1, rounds - PERIOD):
            assert run.state("agent-3", at) == "x"
            assert journal.world.pending(at) == []
        check(read, 3 * PERIOD)
        read.by_table.clear()
        assert (len(run.rounds), len(run.turns)) == (rounds, rounds * AGENTS)
        assert (len(run.messages), len(run.failures), len(run.records), len(run.timings)) == (0, 0, 0, 1)
        assert not list(run.failures)
        assert read.by_table.total() <= 2 * AGENTS
