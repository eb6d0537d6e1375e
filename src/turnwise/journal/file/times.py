"""Times of a round by the clock, which no outcome depends on and no head covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Span(NamedTuple):
    """A stretch of time within a round: microseconds from the round's beginning, and how many it took.

    A tuple, since one is made for every turn: a frozen dataclass costs a multiple.
    """

    start_us: int
    duration_us: int


@dataclass(frozen=True, slots=True)
class RoundTimes:
    """Times of one round.

    `started_us` is the wall-clock time of its beginning, microseconds since 1970-01-01 UTC; everything else counts from
    there, by a clock that is never set. `duration_us` lasts until its last turn ended. `turns` maps places to the time
    from the first execution to the end of the last, waiting for effects included; `effects` maps (place, index) to the
    time from asking to the answer, `waves` their numbers to the time that models took. `commit` is what making the
    round durable took; None until that is known.
    """

    round: int
    started_us: int
    duration_us: int
    turns: dict[int, Span]
    effects: dict[tuple[int, int], Span]
    waves: dict[int, Span]
    commit: Span | None = None
