"""Journals of released versions: every later version opens, replays and resumes them, and runs them to the same head.

`tests/data/<world>-<version>.journal` was written by `python -m tests.history.test_stored_journals VERSION`, which is
run once for a release and never again; until then, again whenever what is to be released has changed. The agents are
core modules, so no stored interpreter is needed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import turnwise
from tests.orchestrator.worlds import lively
from turnwise import World
from turnwise.core.compare import first_difference
from turnwise.core.head import RULE
from turnwise.journal import Journal

DATA = Path(__file__).resolve().parents[1] / "data"
WORLDS: dict[str, World] = {
    "rounds": lively(seed=5, rounds_max=12),
    "sequential": lively(seed=6, rounds_max=30, schedule="sequential"),
}
STEPS = 5
STORED = sorted(DATA.glob("*.journal"))


def parts(path: Path) -> tuple[World, bool]:
    """The world of a stored journal, and whether it was left unfinished."""
    name, _, _ = path.stem.partition("-")
    return WORLDS[name], path.stem.endswith("-open")


def test_there_are_journals() -> None:
    assert len(STORED) >= 2 * len(WORLDS)


@pytest.mark.parametrize("stored", STORED, ids=lambda path: path.stem)
def test_a_stored_journal_is_replayed(stored: Path, tmp_path: Path) -> None:
    path = shutil.copy(stored, tmp_path)
    found = turnwise.replay(path, workers=2)
    assert found.difference is None
    with turnwise.open(path) as run:
        assert found.head == run.head
        assert found.rounds == len(run.rounds) >= STEPS


@pytest.mark.parametrize("stored", STORED, ids=lambda path: path.stem)
def test_today_gives_the_rounds_that_were_stored(stored: Path, tmp_path: Path) -> None:
    """The head of a run says how its chains were made, too: only journals of today's rule have today's."""
    world, unfinished = parts(stored)
    path = Path(shutil.copy(stored, tmp_path))
    with turnwise.run(world, journal=tmp_path / "today.journal") as today:
        if unfinished:
            turnwise.resume(path).result().close()
        with turnwise.open(path) as run, Journal.open(path) as journal:
            for stored_round, round_ in zip(run.rounds, today.rounds, strict=True):
                assert first_difference(stored_round, round_, str, execution=True) is None
            assert (run.status, run.result, run.message) == (today.status, today.result, today.message)
            same = journal.header.rule == RULE and run.plan == today.plan
            assert (run.head == today.head) == same
            run.check()
        assert turnwise.replay(path).difference is None


def write(version: str) -> None:
    DATA.mkdir(exist_ok=True)
    for name, world in WORLDS.items():
        turnwise.run(world, journal=DATA / f"{name}-{version}.journal").close()
        with world.start(journal=DATA / f"{name}-{version}-open.journal") as live:
            for _ in range(STEPS):
                live.step()


if __name__ == "__main__":
    write(sys.argv[1])
