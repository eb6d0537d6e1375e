"""The clocks of the machine, behind an interface: whoever measures or supervises is given them."""

from __future__ import annotations

import sys
import time
from typing import Final, Protocol

_CPU_CLOCK_SCHED: Final = 2


class Clock(Protocol):
    """Clocks of the machine. Nothing that they show flows into what a run computes."""

    def wall_us(self) -> int:
        """Return the wall clock, in microseconds since 1970-01-01 UTC. It may be set, also back."""

    def elapsed_ns(self) -> int:
        """Return a clock that never goes back, in nanoseconds from some moment on."""

    def processor_s(self, pid: int) -> float | None:
        """Return the processor time of a process, in seconds, or None where it cannot be read."""


class SystemClock:
    """The clocks of the operating system."""

    def wall_us(self) -> int:
        return time.time_ns() // 1_000

    def elapsed_ns(self) -> int:
        return time.perf_counter_ns()

    def processor_s(self, pid: int) -> float | None:
        if sys.platform != "linux":
            return None
        try:
            return time.clock_gettime(~pid << 3 | _CPU_CLOCK_SCHED)
        except OSError:
            return None


SYSTEM_CLOCK: Final[Clock] = SystemClock()
