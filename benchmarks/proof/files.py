"""What reading and keeping journals costs: bundles, differences, bytes, and times by the clock."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

from proof.figure import Figure, timed
from proof.played import Journals, chatters, no_ops
from proof.size import Size

import turnwise
from turnwise.evidence.opened import open_bundle
from turnwise.journal.file.times import RoundTimes
from turnwise.orchestrator import driver
from turnwise.orchestrator.round_clock import RoundClock

AGENTS = 100


def bundle(journals: Journals, size: Size) -> list[Figure]:
    """Seconds of a bundle: every byte of it is compared afterwards, and its head with the run's."""
    path = journals.played(chatters(AGENTS, size.bundled // AGENTS))
    with turnwise.open(path) as run:
        head = run.head
    seconds = []
    for number in range(size.times):
        taken, made = timed(lambda number=number: turnwise.bundle(path, path.with_suffix(f".{number}.bundle")))
        seconds.append(taken)
        with open_bundle(path.with_suffix(f".{number}.bundle")) as opened:
            said = opened.statement.run
        if not said["head"] == head or said["turns"] != size.bundled:
            raise SystemExit(f"{made} is not of its run: {said}")
    name = f"bundle of {size.bundled:,} turns"
    return [Figure(name, tuple(seconds), "s", 5.0, False, {"bundle": statistics.median(seconds)})]


def diff(journals: Journals, size: Size) -> list[Figure]:
    """Seconds of the difference of two seeds, in which every turn is another, and of a run and itself."""
    rounds = size.diffed // AGENTS
    left, right = (journals.played(chatters(AGENTS, rounds, seed)) for seed in (1, 2))
    figures = []
    for name, other, differing in (("other seeds", right, size.diffed), ("the same run", left, 0)):
        seconds = []
        for _ in range(size.times):
            begun = time.perf_counter()
            found = turnwise.diff(left, other)
            seconds.append(time.perf_counter() - begun)
            if found.count != differing or found.totals[0].turns != size.diffed:
                raise SystemExit(f"{found.count} turns of {found.totals[0].turns} differ, and not {differing}")
        title = f"diff of two journals of {size.diffed:,} turns, {name}"
        figures.append(Figure(title, tuple(seconds), "s", 2.0, False, {"diff": statistics.median(seconds)}))
    return figures


def bytes_of_a_turn(journals: Journals, size: Size) -> list[Figure]:
    """Bytes of the whole file, times by the clock and everything else in it, by turns that do nothing."""
    path = journals.played(no_ops(AGENTS, size.bundled // AGENTS))
    with turnwise.open(path) as run:
        turns = len(run.turns)
    if turns != size.bundled:
        raise SystemExit(f"{turns} turns were played, and not {size.bundled}")
    value = path.stat().st_size / turns
    return [Figure("bytes of a turn that does nothing", (value,), "bytes", 60.0, False, {})]


def timings(journals: Journals, size: Size) -> list[Figure]:
    """What the times by the clock add to a run: processor time of the orchestrator, by that of the whole run.

    Wall time of whole runs moves by more than a hundredth by itself; the processor time of the one process that notes
    times does not.
    """
    world = chatters(AGENTS, size.diffed // AGENTS)
    added, with_s, without_s = [], [], []
    for _ in range(size.times):
        with _no_clock():
            without, whole, head = _processor_s(journals, world)
        taken, _, timed_head = _processor_s(journals, world)
        if head != timed_head:
            raise SystemExit(f"times by the clock change the head: {head} and {timed_head}")
        added.append(100 * (taken - without) / whole)
        with_s.append(taken)
        without_s.append(without)
    seconds = {"orchestrator": statistics.median(with_s), "without times": statistics.median(without_s)}
    return [Figure("times by the clock, of a run's processor time", tuple(added), "%", 1.0, False, seconds)]


def _processor_s(journals: Journals, world: turnwise.World) -> tuple[float, float, str]:
    """Seconds of this process and of all, workers included, and the head."""
    before = _used()
    head = journals.run(world)
    after = _used()
    mine, children = after[0] - before[0], after[1] - before[1]
    return mine, mine + children, head


def _used() -> tuple[float, float]:
    mine, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return mine.ru_utime + mine.ru_stime, children.ru_utime + children.ru_stime


class _NoClock(RoundClock):
    """Notes nothing, and has no times of a round."""

    def begin(self) -> None: ...

    def executes(self, places: object) -> None: ...

    def executed(self, places: object) -> None: ...

    def asks(self, effects: object) -> None: ...

    def answered(self, effects: object) -> None: ...

    def wave_begins(self) -> None: ...

    def wave_ended(self, records: object) -> None: ...

    def times(self, round_: int) -> RoundTimes:
        return None  # type: ignore[return-value]  # then no row is written


@contextmanager
def _no_clock() -> Iterator[None]:
    driver.RoundClock = _NoClock  # type: ignore[misc]
    try:
        yield
    finally:
        driver.RoundClock = RoundClock  # type: ignore[misc]
