"""The edges of a run: what its parts have of the machine, so that all else runs the same without one.

The simulator gives them others, under a clock of its own. Whatever is decided lies inside.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from turnwise.sandbox.pool.deadline import FuelRate
from turnwise.sharedmem import Launch, launch
from turnwise.system.clock import SYSTEM_CLOCK, Clock
from turnwise.telemetry.ring import RingWriter


def _one_thread() -> Executor:
    return ThreadPoolExecutor(1, thread_name_prefix="turnwise-journal")


def _ring() -> RingWriter | None:
    try:
        return RingWriter()
    except OSError:  # no Linux, or one before 5.1: nobody can watch the run live, which is no fault of it
        return None


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges of a run.

    - `launch`: starts a child process
    - `clock`: shows what time it is, and what a process has used
    - `fuel_rate`: makes what measures how long a unit of fuel takes
    - `journal_thread`: makes the thread that waits for the disk
    - `waits_in_loop`: whether the event loop itself waits for the disk where nothing else could go on
    - `telemetry`: makes the memory that others may watch the run in; None where there is none
    """

    launch: Launch = launch
    clock: Clock = SYSTEM_CLOCK
    fuel_rate: Callable[[], FuelRate] = FuelRate
    journal_thread: Callable[[], Executor] = _one_thread
    waits_in_loop: bool = True
    telemetry: Callable[[], RingWriter | None] = _ring


EDGES: Final = Edges()
"""The machine itself."""
