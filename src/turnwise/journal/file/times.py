"""Times of a round by the clock, which no outcome depends on and no head covers."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class RoundTimes:
    """Times of one round. Spans count from `started_us`, by a clock that is never set."""

    round: int
    """Number of the round."""
    started_us: int
    """Wall-clock time of its beginning, microseconds since 1970-01-01 UTC."""
    duration_us: int
    """Time until its last turn ended."""
    turns: dict[int, Span]
    """By place: from the first execution to the end of the last, waiting for effects included."""
    effects: dict[tuple[int, int], Span]
    """By (place, index): from asking to the answer."""
    waves: dict[int, Span]
    """By number of the wave: the time that models took."""
    commit: Span | None = None
    """Span of making the round durable; None until that is known."""
