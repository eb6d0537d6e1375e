"""Rows of `timings`: one a round, whose turns, effects and waves are lists of numbers in JSON."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from turnwise.journal.file.times import RoundTimes, Span

_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class TimesRow:
    """Times of a round as columns, before its commit is over.

    `before` are the columns before those of the commit, `after` the ones behind.
    """

    before: tuple[int, int, int]
    after: tuple[str, str, str]

    def columns(self, commit_start_us: int, commit_us: int) -> tuple[int | str, ...]:
        """The whole row; `commit_start_us` is a wall-clock time, since the commit is measured by another thread."""
        return (*self.before, max(0, commit_start_us - self.before[1]), commit_us, *self.after)


def times_row(times: RoundTimes) -> TimesRow:
    """The row of a round's times: keys (place; place, index; wave), starts and durations, a list each."""
    effects = _spans(times.effects.values())
    return TimesRow(
        (times.round, times.started_us, times.duration_us),
        (
            _encode([list(times.turns), *_spans(times.turns.values())]),
            _encode([[place for place, _ in times.effects], [index for _, index in times.effects], *effects]),
            _encode([list(times.waves), *_spans(times.waves.values())]),
        ),
    )


def _spans(spans: Collection[Span]) -> tuple[list[int], list[int]]:
    return [start for start, _ in spans], [duration for _, duration in spans]
