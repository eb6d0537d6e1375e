"""A run by the clock: rounds one behind the other for as long as they took, the idle time between them closed."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Any, Final, Literal

from turnwise.core.calling import CALL, tool_in
from turnwise.core.question import ASK
from turnwise.errors import UsageError
from turnwise.journal.journal import Journal
from turnwise.journal.read.grid import AskedFor
from turnwise.monitor.answers.tiles import BITS_MAX, COORDINATE_MAX, SIDE_BITS

ROUNDS_MAX: Final = 5_000_000
"""Rounds that are laid on the time of a run, 16 bytes each; the page says how many later ones are not."""
GAP_US_MIN: Final = 1_000_000
"""Idle time from which on it is told that it was closed."""
GAPS_MAX: Final = 64
"""Gaps of one answer: the longest."""
SPAN_ROUNDS_MAX: Final = 64
"""Rounds whose turns are told one by one."""
SPANS_MAX: Final = 5_000
"""Turns of one answer."""

WaitKind = Literal["model", "tool", "people", "other"]
"""Kind of what a turn waits for within a round."""


class ClockAxis:
    """Offsets of rounds on the closed time of a run, in microseconds. Grows with the run."""

    def __init__(self, rounds_max: int = ROUNDS_MAX) -> None:
        self._rounds_max = rounds_max
        self._rounds_hidden = 0
        self._rounds, self._offsets = array("q"), array("q")
        self._gaps: list[tuple[int, int]] = []
        self._end_us = self._total_us = 0

    def extend(self, journal: Journal) -> None:
        """Take the rounds that are new."""
        last = self._rounds[-1] if self._rounds else 0
        for number, started_us, duration_us in journal.timings.lengths(last):
            if len(self._rounds) == self._rounds_max:
                self._rounds_hidden = journal.rounds.last_round - last
                return
            idle_us = started_us - self._end_us
            if self._rounds and idle_us >= GAP_US_MIN:
                self._gaps.append((self._total_us, idle_us))
            self._rounds.append(number)
            self._offsets.append(self._total_us)
            self._total_us += duration_us
            self._end_us = started_us + duration_us

    def bounds(self, column: int, round_bits: int) -> dict[str, Any]:
        """The offsets at which the 256 columns of a tile begin, and the one at which the last ends; and gaps there."""
        if not (0 <= round_bits <= BITS_MAX and 0 <= column < COORDINATE_MAX):
            raise UsageError("there is no such tile", where="clock", actual=f"{column}, {round_bits}")
        first = column << (SIDE_BITS + round_bits)
        offsets = [self._offset(first + (index << round_bits)) for index in range((1 << SIDE_BITS) + 1)]
        here = [gap for gap in self._gaps if offsets[0] < gap[0] <= offsets[-1]]
        longest = sorted(here, key=lambda gap: -gap[1])[:GAPS_MAX]
        return {
            "offsets": offsets,
            "gaps": sorted(longest),
            "gaps_hidden": len(here) - len(longest),
            "total_us": self._total_us,
            "last_round": self._rounds[-1] if self._rounds else 0,
            "rounds_hidden": self._rounds_hidden,
        }

    def _offset(self, number: int) -> int:
        at = bisect_left(self._rounds, number)
        return self._offsets[at] if at < len(self._offsets) else self._total_us


def spans(journal: Journal, first: int, last: int, place_first: int, place_last: int) -> dict[str, Any]:
    """Turns of some rounds and places: when they ran and waited, in microseconds from the round's beginning.

    Each is `[round, place, start, duration, effects, whether it failed]`, an effect `[start, duration, kind, name]`.
    """
    if last - first >= SPAN_ROUNDS_MAX:
        raise UsageError("these are too many rounds", where="spans", actual=last - first, hint="The page asks for few.")
    found: list[list[Any]] = []
    count = 0
    failed = journal.grid.failed(first, last)
    asked = journal.grid.effects(first, last, place_first, place_last + 1)
    for times in journal.timings.between(first, last):
        effects: dict[int, list[tuple[int, int, str, str]]] = {}
        for (place, index), span in times.effects.items():
            if place_first <= place <= place_last:
                waited = waited_for(asked.get((times.round, place, index)))
                effects.setdefault(place, []).append((span.start_us, span.duration_us, *waited))
        for place, span in times.turns.items():
            if place_first <= place <= place_last:
                count += 1
                if len(found) < SPANS_MAX:
                    is_failed = (times.round, place) in failed
                    found.append([times.round, place, *span, effects.get(place, []), is_failed])
    return {"spans": found, "hidden": count - len(found)}


def waited_for(asked: AskedFor | None) -> tuple[WaitKind, str]:
    """Return the kind of what a turn waited for within a round, and its name."""
    if asked is None:
        return "other", ""  # times are proved by nothing, and may be of what is not there
    if asked.model is not None:
        return "model", asked.model
    if asked.kind == CALL:
        return "tool", (tool_in(asked.request) if asked.request is not None else None) or CALL
    return ("people", "people") if asked.kind == ASK else ("other", asked.kind)
