"""Rounds as they are committed, each once, with their times."""

from __future__ import annotations

from pathlib import Path

import turnwise
from tests.guests import constant
from tests.orchestrator.worlds import lively
from turnwise import Agent
from turnwise.observing.tail import LOOKS_FOR_TIMES, Tail


def ticking() -> turnwise.World:
    tick = constant({"state": "", "wake_in": 1})
    return turnwise.World(name="ticking", rounds_max=50, agents={"a": Agent(tick, start=True)})


def test_a_run_that_is_over_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    turnwise.run(lively(seed=3, rounds_max=9), journal=path, workers=1).close()
    tail, found = Tail(path, after=0), []
    while True:
        looked = tail.look(4, 1_000)
        found += [moment.record.round for moment in looked.rounds]
        assert all(moment.times is not None for moment in looked.rounds)
        if looked.end is not None:
            break
        assert looked.rounds
    with turnwise.open(path) as run:
        assert found == [record.round for record in run.rounds]
        assert len(looked.names) == len(list(run.agents))
    assert Tail(path).look(4, 1_000).rounds == ()  # begins behind what is there


def test_a_run_under_way_is_read_round_by_round_and_the_newest_with_its_times(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with ticking().start(journal=path, workers=1) as live:
        live.step()
        tail = Tail(path, after=0)
        for _ in range(LOOKS_FOR_TIMES):
            assert tail.look(10, 100).rounds == ()  # they come with the next round
        (moment,) = tail.look(10, 100).rounds
        assert (moment.record.round, moment.times) == (1, None)
        live.step()
        live.step()
        (moment,) = tail.look(10, 100).rounds
        assert moment.record.round == 2
        assert moment.times is not None
        looked = tail.look(10, 100)
        assert (looked.rounds, looked.last, looked.behind, looked.end) == ((), 3, 1, None)
    assert [moment.record.round for moment in tail.look(10, 100).rounds] == [3]
    assert tail.look(10, 100).rounds == ()


def test_rounds_that_come_too_fast_are_passed_over_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    turnwise.run(ticking(), journal=path, workers=1).close()
    looked = Tail(path, after=0).look(5, 10)
    assert looked.skipped == 40
    assert [moment.record.round for moment in looked.rounds] == [41, 42, 43, 44, 45]
    assert (looked.last, looked.behind) == (50, 5)
