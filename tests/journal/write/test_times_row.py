"""The row of a round's times: what was measured, and when its commit began after the round had."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from turnwise.journal.file.times import RoundTimes, Span, TurnSpans
from turnwise.journal.write.times_row import times_row

ROW = times_row(RoundTimes(3, 5_000, 70, {0: Span(1, 2), 2: Span(3, 4)}, {(2, 1): Span(5, 6)}, {1: Span(7, 8)}))
LISTS = ("[[0,2],[1,3],[2,4]]", "[[2],[1],[5],[6]]", "[[1],[7],[8]]")


def test_a_commit_begins_so_long_after_its_round() -> None:
    assert ROW.columns(5_900, 11) == (3, 5_000, 70, 900, 11, *LISTS)


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    assert ROW.columns(4_000, 11) == (3, 5_000, 70, 0, 11, *LISTS)


@given(st.dictionaries(st.integers(0, 10**6), st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)), max_size=5))
def test_spans_in_columns_are_written_and_read_as_any_others(spans: dict[int, tuple[int, int]]) -> None:
    plain = {place: Span(*span) for place, span in sorted(spans.items())}
    columns = TurnSpans(
        list(plain), [span.start_us for span in plain.values()], [span.duration_us for span in plain.values()]
    )
    assert (dict(columns), len(columns), repr(columns)) == (plain, len(plain), repr(plain))
    assert columns == plain
    assert [columns[place] for place in columns] == list(plain.values())
    assert times_row(RoundTimes(3, 5, 7, columns, {}, {})) == times_row(RoundTimes(3, 5, 7, plain, {}, {}))
