"""Times of a round by the clock, which no outcome depends on and no head covers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Span(NamedTuple):
    """A stretch of time within a round: microseconds from the round's beginning, and how many it took.

    A tuple, since one is made for every turn: a frozen dataclass costs a multiple.
    """

    start_us: int
    """Microseconds from the round's beginning."""
    duration_us: int
    """Microseconds that it took."""


class TurnSpans(Mapping[int, Span]):
    """Spans of turns by place, as they are measured and stored: a list each of places, starts and durations."""

    __slots__ = ("_spans", "durations_us", "places", "starts_us")

    def __init__(self, places: list[int], starts_us: list[int], durations_us: list[int]) -> None:
        self.places = places
        self.starts_us = starts_us
        self.durations_us = durations_us
        self._spans: dict[int, Span] | None = None

    def _by_place(self) -> dict[int, Span]:
        if self._spans is None:
            self._spans = dict(zip(self.places, map(Span, self.starts_us, self.durations_us), strict=True))
        return self._spans

    def __getitem__(self, place: int) -> Span:
        return self._by_place()[place]

    def __iter__(self) -> Iterator[int]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def __repr__(self) -> str:
        return repr(self._by_place())


@dataclass(frozen=True, slots=True)
class RoundTimes:
    """Times of one round. Spans count from `started_us`, by a clock that is never set."""

    round: int
    """Number of the round."""
    started_us: int
    """Wall-clock time of its beginning, microseconds since 1970-01-01 UTC."""
    duration_us: int
    """Time until its last turn ended."""
    turns: Mapping[int, Span]
    """By place: from the first execution to the end of the last, waiting for effects included."""
    effects: dict[tuple[int, int], Span]
    """By (place, index): from asking to the answer."""
    waves: dict[int, Span]
    """By number of the wave: the time that models took."""
    commit: Span | None = None
    """Span of making the round durable; None until that is known."""
