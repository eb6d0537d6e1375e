"""The row of a round's times: what was measured, and when its commit began after the round had."""

from __future__ import annotations

from turnwise.journal.file.times import RoundTimes, Span
from turnwise.journal.write.times_row import times_row

ROW = times_row(RoundTimes(3, 5_000, 70, {0: Span(1, 2), 2: Span(3, 4)}, {(2, 1): Span(5, 6)}, {1: Span(7, 8)}))
LISTS = ("[[0,2],[1,3],[2,4]]", "[[2],[1],[5],[6]]", "[[1],[7],[8]]")


def test_a_commit_begins_so_long_after_its_round() -> None:
    assert ROW.columns(5_900, 11) == (3, 5_000, 70, 900, 11, *LISTS)


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    assert ROW.columns(4_000, 11) == (3, 5_000, 70, 0, 11, *LISTS)
