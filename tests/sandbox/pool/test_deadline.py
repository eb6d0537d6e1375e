"""The deadline of a worker: processor time against fuel, and standing still."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from turnwise.sandbox.execute.jobs import TurnJob
from turnwise.sandbox.pool import deadline
from turnwise.sandbox.pool.deadline import FUEL_NS_UNKNOWN, Deadline, FuelRate, bound_s
from turnwise.system.clock import SYSTEM_CLOCK, SystemClock

linux = pytest.mark.skipif(sys.platform != "linux", reason="processor time of other processes")
JOB = TurnJob(1, "code", b"{}", (), 1_000_000_000, 64 << 20, 4 << 20)
WAIT_S_MAX = 100
POLL_S = 0.01


class Rate(FuelRate):
    """A rate that is known."""

    def __init__(self, rate: float | None) -> None:
        super().__init__()
        self.rate = rate

    def get_nowait(self) -> float | None:
        return self.rate


@pytest.fixture
def busy() -> Iterator[int]:
    """A process that computes."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        yield child.pid
        child.kill()


def first_reason(check: Callable[[], str | None]) -> str:
    end_s = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < end_s:
        if (reason := check()) is not None:
            return reason
        time.sleep(POLL_S)  # leaves the processor to the one that is watched
    raise AssertionError("nobody was ended")


def test_the_longest_job_counts_with_all_that_it_can_take() -> None:
    assert bound_s([JOB], 10) > 10
    assert bound_s([replace(JOB, fuel=1), JOB], 10) == bound_s([JOB], 10)
    assert bound_s([replace(JOB, fuel=2 * JOB.fuel)], 10) == pytest.approx(bound_s([JOB], 10) + 10)
    for more in ({"memory_bytes": 1 << 30}, {"replies": (b"x" * 1_000,)}, {"input": b"x" * 1_000}):
        assert bound_s([replace(JOB, **more)], 10) > bound_s([JOB], 10)  # type: ignore[arg-type]
    assert bound_s([], 10) == 0


@linux
def test_a_process_that_computes_is_ended_by_processor_time_beyond_its_fuel(busy: int) -> None:
    watched = Deadline(busy, 1, Rate(1e-9))
    assert "of processor time, where its fuel allows" in first_reason(lambda: watched.check([replace(JOB, fuel=1)]))


@linux
def test_a_process_that_computes_within_its_fuel_goes_on(busy: int) -> None:
    watched = Deadline(busy, 2, Rate(1_000))
    begun_s = SYSTEM_CLOCK.processor_s(busy)
    assert begun_s is not None
    while (used_s := SYSTEM_CLOCK.processor_s(busy)) is not None and used_s < begun_s + 2.5:
        assert watched.check([JOB]) is None
        time.sleep(POLL_S)
    assert Deadline(busy, 2, Rate(None)).check([JOB]) is None, "nobody is ended before the rate is known"


@linux
def test_a_process_that_is_stopped_is_ended(busy: int) -> None:
    os.kill(busy, signal.SIGSTOP)
    watched = Deadline(busy, 2, Rate(1_000))
    assert "no processor time used for 2 s" in first_reason(lambda: watched.check([JOB]))


@linux
def test_progress_begins_again(busy: int) -> None:
    watched = Deadline(busy, 1, Rate(1e-9))
    first_reason(lambda: watched.check([replace(JOB, fuel=1)]))
    watched.progress()
    watched._still_s = WAIT_S_MAX
    assert watched.check([replace(JOB, fuel=1)]) is None


class WithoutProcessorTime(SystemClock):
    def processor_s(self, pid: int) -> float | None:
        return None


def test_where_processor_time_cannot_be_read_the_clock_counts() -> None:
    clock = WithoutProcessorTime()
    watched = Deadline(os.getpid(), 0.05, Rate(1e-9), clock)
    assert "by the clock" in first_reason(lambda: watched.check([replace(JOB, fuel=1)]))
    assert Deadline(os.getpid(), 0.05, Rate(1_000), clock).check([JOB]) is None


def test_the_rate_is_measured_once_in_a_process_of_its_own() -> None:
    async def run() -> list[float | None]:
        rate = FuelRate()
        found = [rate.get_nowait()]
        async with asyncio.timeout(WAIT_S_MAX):
            while rate.get_nowait() is None:
                await asyncio.sleep(0.01)
        found += [rate.get_nowait(), rate.get_nowait()]
        await rate.close()
        return found

    before, first, second = asyncio.run(run())
    assert before is None
    assert first == second
    assert first is not None
    assert 0 < first != FUEL_NS_UNKNOWN


def test_a_rate_that_cannot_be_measured_is_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "RATE_PROCESS", "turnwise.no_such_module")
    assert asyncio.run(deadline._measure()) == FUEL_NS_UNKNOWN
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert asyncio.run(deadline._measure()) == FUEL_NS_UNKNOWN


def test_closing_waits_for_the_end_of_what_measures() -> None:
    ended = False

    async def measures() -> float:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True
        return 1.0

    async def run() -> None:
        rate = FuelRate(measures)
        assert rate.get_nowait() is None
        await asyncio.sleep(0)  # it begins
        await rate.close()
        assert ended
        await FuelRate(measures).close()

    asyncio.run(run())


def test_closing_ends_what_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))"
    (tmp_path / "measures_for_ever.py").write_text(f"import os, pathlib, time\n{told}\ntime.sleep(3600)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(deadline, "RATE_PROCESS", "measures_for_ever")

    async def run() -> int:
        rate = FuelRate()
        async with asyncio.timeout(WAIT_S_MAX):
            while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
                assert rate.get_nowait() is None
                await asyncio.sleep(0.01)
            await rate.close()
        return int((tmp_path / "pid").read_text())

    with pytest.raises(ProcessLookupError):
        os.kill(asyncio.run(run()), 0)


class Moments(SystemClock):
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.processor: float | None = 0.0

    def elapsed_ns(self) -> int:
        return int(self.now_s * 1e9)

    def processor_s(self, pid: int) -> float | None:
        return self.processor


def watched(clock: Moments, rate: float | None = 1.0, still_s: float = 10) -> Deadline:
    return Deadline(1, still_s, Rate(rate), clock=clock)


ALLOWED_S = bound_s([JOB], 1.0)


def test_processor_time_is_compared_with_what_the_fuel_allows() -> None:
    clock = Moments()
    clock.now_s = clock.processor = 5.0
    of = watched(clock)
    allowed_s = 10 + deadline.PROCESSOR_FACTOR * ALLOWED_S
    clock.now_s, clock.processor = 1e6, 5 + allowed_s
    assert of.check([JOB]) is None
    clock.processor = 5 + allowed_s + 1
    said = f"no result after {allowed_s + 1:.0f} s of processor time, where its fuel allows {allowed_s:.0f} s"
    assert of.check([JOB]) == said
    of.progress()
    assert of.check([JOB]) is None


@pytest.mark.parametrize("before", [None, 3.0])
def test_where_processor_time_is_not_known_at_both_ends_the_clock_counts(before: float | None) -> None:
    clock = Moments()
    clock.processor = before
    of = watched(clock)
    clock.processor = None if before is not None else 3.0
    allowed_s = 10 + deadline.CLOCK_FACTOR * ALLOWED_S
    clock.now_s = allowed_s
    assert of.check([JOB]) is None
    clock.now_s = allowed_s + 1
    assert (of.check([JOB]) or "").startswith(f"no result after {allowed_s + 1:.0f} s by the clock")


def test_who_uses_no_processor_time_for_as_long_as_the_deadline_stands_still() -> None:
    clock = Moments()
    of = watched(clock)
    clock.now_s, clock.processor = 9.0, 0.5
    assert of.check([JOB]) is None
    clock.now_s = 18.9
    assert of.check([JOB]) is None
    clock.now_s = 19.0
    assert of.check([JOB]) == "no result, and no processor time used for 10 s, the deadline"


def test_before_the_rate_is_known_nobody_computes_for_too_long() -> None:
    clock = Moments()
    of = watched(clock, rate=None)
    clock.now_s = clock.processor = 1e9
    assert of.check([JOB]) is None
