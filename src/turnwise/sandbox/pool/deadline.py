"""The deadline of a worker: what its jobs can take at most, and how long it may stand still.

A turn ends by its fuel and never by the clock, so a worker is only ended when it is certain that fuel will not end what
it does: it has used more processor time than its fuel, memory and messages can take on this machine, or it has used
none for a while (stopped, or stuck in the kernel). Processor time does not pass while a worker waits for a core, so a
busy machine changes nothing. Where it cannot be read, the clock is taken, with a larger factor.

How long a unit of fuel takes is measured when it first matters, in a process of its own.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable

from turnwise.sandbox.execute.jobs import TurnJob
from turnwise.sharedmem.process import child_environment
from turnwise.system.clock import SYSTEM_CLOCK, Clock

RATE_PROCESS = "turnwise.sandbox.execute.fuel_rate"
RATE_S_MAX = 300
FUEL_NS_UNKNOWN = 1_000.0
"""Time for a unit of fuel where it cannot be measured: that of a slow machine."""

MEMORY_NS_PER_BYTE = 2.0
"""Time for a byte of linear memory that is made and touched for the first time (0.3 to 0.5 where it was measured)."""

MESSAGE_NS_PER_BYTE = 20.0
"""Time for a byte of input, replies, requests and output that the host passes and checks (2 where it was measured)."""

PROCESSOR_FACTOR = 4
"""Margin of processor time: caches and cores that are shared with others, lower clock rates."""

CLOCK_FACTOR = 32
"""Margin where only the clock can be read: others may have the cores."""


def bound_s(jobs: Iterable[TurnJob], fuel_ns: float) -> float:
    """Return the time in seconds, without margin, that the longest of `jobs` can take."""
    longest_ns = 0.0
    for job in jobs:
        messages = job.size_bytes + job.output_bytes_max * (len(job.replies) + 1)
        took_ns = job.fuel * fuel_ns + job.memory_bytes * MEMORY_NS_PER_BYTE + messages * MESSAGE_NS_PER_BYTE
        longest_ns = max(longest_ns, took_ns)
    return longest_ns / 1e9


class FuelRate:
    """Nanoseconds for a unit of fuel on this machine, measured once, when it is first asked for.

    `measure` measures it; None: in a process of its own.
    """

    def __init__(self, measure: Callable[[], Awaitable[float]] | None = None) -> None:
        self._measure = measure
        self._measuring: asyncio.Future[float] | None = None

    def get_nowait(self) -> float | None:
        """Return the rate, or begin to measure it and return None."""
        if self._measuring is None:
            self._measuring = asyncio.ensure_future((self._measure or _measure)())
        return self._measuring.result() if self._measuring.done() else None

    async def close(self) -> None:
        """End the process that measures, if there is one."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.gather(self._measuring, return_exceptions=True)


async def _measure() -> float:
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", RATE_PROCESS, str(os.getpid())),
            env=child_environment(None),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return FUEL_NS_UNKNOWN
    try:
        async with asyncio.timeout(RATE_S_MAX):
            output, _ = await process.communicate()
        return float(output) if process.returncode == 0 else FUEL_NS_UNKNOWN
    except (TimeoutError, ValueError):
        return FUEL_NS_UNKNOWN
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Deadline:
    """Supervision of one worker, from one sign of progress to the next.

    `still_s`: how long it may use no processor time at all; `rate` is shared by the workers of a pool.
    """

    def __init__(self, pid: int, still_s: float, rate: FuelRate, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._pid = pid
        self._still_s = still_s
        self._rate = rate
        self.progress()

    def progress(self) -> None:
        """Begin again, since the worker has shown a result or has been given its first job."""
        self._processor_s = self._clock.processor_s(self._pid)
        self._since_s = self._moved_s = self._clock.elapsed_ns() / 1e9
        self._seen_s = self._processor_s

    def check(self, jobs: Iterable[TurnJob]) -> str | None:
        """Return why a worker with `jobs` is to be ended, for people, or None while it may go on."""
        now_s = self._clock.elapsed_ns() / 1e9
        processor = self._clock.processor_s(self._pid)
        if processor is None or self._processor_s is None:
            return self._check_used(now_s - self._since_s, jobs, CLOCK_FACTOR, "by the clock")
        if processor != self._seen_s:
            self._seen_s, self._moved_s = processor, now_s
        if now_s - self._moved_s >= self._still_s:
            return f"no result, and no processor time used for {self._still_s:g} s, the deadline"
        return self._check_used(processor - self._processor_s, jobs, PROCESSOR_FACTOR, "of processor time")

    def _check_used(self, used_s: float, jobs: Iterable[TurnJob], factor: int, unit: str) -> str | None:
        if used_s <= self._still_s:
            return None
        rate = self._rate.get_nowait()
        if rate is None:
            return None
        allowed_s = self._still_s + factor * bound_s(jobs, rate)
        if used_s <= allowed_s:
            return None
        return f"no result after {used_s:.0f} s {unit}, where its fuel allows {allowed_s:.0f} s"
