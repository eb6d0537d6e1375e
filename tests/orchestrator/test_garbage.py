"""The collector while runs are open, and after them: as it was found."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.orchestrator.worlds import lively
from turnwise.orchestrator.garbage import THRESHOLDS, collected_seldom


@pytest.fixture(autouse=True)
def found() -> Iterator[tuple[int, int, int]]:
    """The collector as it is found by a program that has set nothing aside; all tests set aside what was collected."""
    before = gc.get_threshold()
    gc.unfreeze()
    yield before
    gc.set_threshold(*before)
    gc.freeze()


def test_a_run_sets_aside_what_is_there_and_gives_it_back(found: tuple[int, int, int]) -> None:
    with collected_seldom():
        assert gc.get_threshold() == THRESHOLDS
        assert gc.get_freeze_count() > 1_000
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() > 0, "cycles are found all the same"
    assert (gc.get_threshold(), gc.get_freeze_count()) == (found, 0)


def test_runs_overlap_and_the_last_one_gives_back(found: tuple[int, int, int]) -> None:
    one, two = collected_seldom(), collected_seldom()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert gc.get_threshold() == THRESHOLDS
    two.__exit__(None, None, None)
    assert (gc.get_threshold(), gc.get_freeze_count()) == (found, 0)


def test_what_others_have_set_stays() -> None:
    gc.set_threshold(100_000, 5, 1_000)
    gc.freeze()
    with collected_seldom():
        assert gc.get_threshold() == (100_000, 20, 1_000)
    assert gc.get_freeze_count() > 0
    gc.set_threshold(0, 5, 5)
    with collected_seldom():
        assert gc.get_threshold()[0] == 0


def test_a_live_run_has_it_until_it_is_closed(tmp_path: object, found: tuple[int, int, int]) -> None:
    with lively(rounds_max=2).start(journal=tmp_path / "run.journal", workers=1) as live:  # type: ignore[operator]
        live.step()
        assert gc.get_threshold() == THRESHOLDS
    assert (gc.get_threshold(), gc.get_freeze_count()) == (found, 0)
