"""Rows of `timings`: one a round, whose turns, effects and waves are lists of numbers in JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from turnwise.core.json_encoder import json_encoder
from turnwise.journal.file.times import RoundTimes, Span, TurnSpans

_encode = json_encoder(sort_keys=False)

_NO_EFFECTS: Final = "[[],[],[],[]]"
_NO_WAVES: Final = "[[],[],[]]"


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
    effects, waves = _NO_EFFECTS, _NO_WAVES
    if times.effects:
        spans = _spans(times.effects.values())
        effects = _encode([[place for place, _ in times.effects], [index for _, index in times.effects], *spans])
    if times.waves:
        waves = _encode([list(times.waves), *_spans(times.waves.values())])
    turns = _turns(times.turns)
    return TimesRow((times.round, times.started_us, times.duration_us), (turns, effects, waves))


def _turns(turns: Mapping[int, Span]) -> str:
    if not isinstance(turns, TurnSpans):
        return _encode([list(turns), *_spans(turns.values())])
    # As it is encoded above: of every turn there are three numbers, which is much where turns are small.
    return str([turns.places, turns.starts_us, turns.durations_us]).replace(" ", "")


def _spans(spans: Collection[Span]) -> tuple[list[int], list[int]]:
    return [start for start, _ in spans], [duration for _, duration in spans]
