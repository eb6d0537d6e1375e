"""Moments of a run: by the clock where times were noted, else virtual ones that follow from the round's number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from turnwise.core.plan import Plan
from turnwise.core.records import RoundRecord
from turnwise.journal import Journal, RoundTimes
from turnwise.journal.file.times import Span
from turnwise.journal.read.timings import ROUND_MAX


@dataclass(frozen=True, slots=True)
class RoundMoments:
    """A round with its moments, in microseconds since 1970-01-01 UTC."""

    record: RoundRecord
    """The round."""
    started_us: int
    """Beginning of the round."""
    duration_us: int
    """Time that it took."""
    times: RoundTimes | None
    """Times by the clock; None if none were noted, and the moments are virtual."""

    def turn(self, place: int) -> Span:
        """Beginning of a turn, and how long it took."""
        span = None if self.times is None else self.times.turns.get(place)
        return self._absolute(span or Span(0, self.duration_us))

    def effect(self, place: int, index: int) -> Span:
        """Beginning of an effect, and how long it took; that of its turn if it was not noted."""
        span = None if self.times is None else self.times.effects.get((place, index))
        return self.turn(place) if span is None else self._absolute(span)

    def _absolute(self, span: Span) -> Span:
        return Span(self.started_us + span.start_us, span.duration_us)


def moments(journal: Journal, plan: Plan, first: int = 1, last: int = ROUND_MAX) -> Iterator[RoundMoments]:
    """Yield the rounds of a journal from `first` to `last` with their moments."""
    noted = journal.timings.between(first, last)
    times = next(noted, None)
    for record in journal.rounds.between(first, min(last, journal.rounds.last_round)):
        while times is not None and times.round < record.round:
            times = next(noted, None)
        if times is not None and times.round == record.round:
            yield RoundMoments(record, times.started_us, times.duration_us, times)
        else:
            started = plan.time_start_us + (record.round - 1) * plan.round_us
            yield RoundMoments(record, started, plan.round_us, None)
