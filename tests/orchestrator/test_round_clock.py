"""A clock that is read at each step: what it says must follow from the steps alone."""

from __future__ import annotations

from turnwise.core.records import WaveRecord
from turnwise.journal import Span
from turnwise.orchestrator.round_clock import RoundClock


class Clock:
    """A clock that goes on by hand."""

    def __init__(self) -> None:
        self.us = 0

    def wall_us(self) -> int:
        return 1_700_000_000_000_000

    def elapsed_ns(self) -> int:
        return self.us * 1_000

    def processor_s(self, pid: int) -> float | None:
        raise AssertionError("a round has nothing to do with processes")


def test_spans_of_turns_effects_and_waves() -> None:
    hand = Clock()
    clock = RoundClock(hand)
    for offset in (5_000, 90_000):  # a second round knows nothing of the first
        hand.us = offset
        clock.begin()
        hand.us += 10
        clock.executes([0, 1])
        hand.us += 10
        clock.executed([1])
        clock.asks([(1, 0), (1, 1)])
        clock.wave_begins()
        hand.us += 100
        clock.wave_ended([WaveRecord(1, "m", ((1, 0),), "{}")])
        clock.answered([(1, 0)])
        hand.us += 1
        clock.answered([(1, 1)])
        clock.executes([1])
        hand.us += 30
        clock.executed([0, 1])
        times = clock.times(7)
        assert (times.round, times.started_us, times.duration_us) == (7, 1_700_000_000_000_000, 151)
        assert times.turns == {0: Span(10, 141), 1: Span(10, 141)}
        assert times.effects == {(1, 0): Span(20, 100), (1, 1): Span(20, 101)}
        assert times.waves == {1: Span(20, 100)}
        assert times.commit is None


def test_a_turn_that_was_decided_without_being_executed_has_no_times() -> None:
    clock = RoundClock()
    clock.begin()
    clock.executes([3])
    assert clock.times(1).turns == {}
