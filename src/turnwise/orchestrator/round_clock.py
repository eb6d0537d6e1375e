"""A clock for one round after another. Nothing that is measured flows back into the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import sub

from turnwise.core.records import WaveRecord
from turnwise.journal.file.times import RoundTimes, Span, TurnSpans
from turnwise.system.clock import SYSTEM_CLOCK, Clock


class RoundClock:
    """Measures when turns, effects and waves of the round in progress begin and end."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._started_us = 0
        self._zero_ns = 0
        self._turns: dict[int, int] = {}
        self._ended: dict[int, int] = {}
        self._asked: dict[tuple[int, int], int] = {}
        self._effects: dict[tuple[int, int], Span] = {}
        self._wave_us = 0
        self._waves: dict[int, Span] = {}

    def begin(self) -> None:
        """A round begins."""
        self._started_us = self._clock.wall_us()
        self._zero_ns = self._clock.elapsed_ns()
        self._turns, self._ended = {}, {}
        self._asked, self._effects, self._waves = {}, {}, {}

    def _now_us(self) -> int:
        return (self._clock.elapsed_ns() - self._zero_ns) // 1_000

    def executes(self, places: Iterable[int]) -> None:
        """Executions of these turns are handed out; the first of a turn is its beginning."""
        now, turns = self._now_us(), self._turns
        for place in places:
            turns.setdefault(place, now)

    def executed(self, places: Iterable[int]) -> None:
        """Executions have come back; the last of a turn is its end."""
        self._ended |= dict.fromkeys(places, self._now_us())

    def asks(self, effects: Iterable[tuple[int, int]]) -> None:
        """Effects (place, index) are asked for."""
        self._asked |= dict.fromkeys(effects, self._now_us())

    def answered(self, effects: Iterable[tuple[int, int]]) -> None:
        """Effects were answered."""
        now = self._now_us()
        for effect in effects:
            asked = self._asked.pop(effect, now)
            self._effects[effect] = Span(asked, now - asked)

    def wave_begins(self) -> None:
        """Models are given a wave."""
        self._wave_us = self._now_us()

    def wave_ended(self, records: Sequence[WaveRecord]) -> None:
        """Note the time at which all models of a wave have answered."""
        span = Span(self._wave_us, self._now_us() - self._wave_us)
        self._waves |= {record.wave: span for record in records}

    def times(self, round_: int) -> RoundTimes:
        """Times of the round in progress, which is over."""
        began, ended = self._turns, self._ended
        places = sorted(began if began.keys() == ended.keys() else began.keys() & ended.keys())
        starts = list(map(began.__getitem__, places))
        turns = TurnSpans(places, starts, list(map(sub, map(ended.__getitem__, places), starts)))
        return RoundTimes(round_, self._started_us, self._now_us(), turns, self._effects, self._waves)
