"""Garbage collection while runs are played: seldom, and not through all that was there before.

Whatever a run makes in numbers (records, inputs, results) is freed as soon as nobody refers to it, and holds no cycles;
Python's collector looks for cycles all the same, whenever so many objects are there more than were, and with 100,000
agents it looked through their state again and again. So what is there when a run begins is set aside, and the young
are looked through after far more of them. Cycles are found later, and found all the same.

The collector belongs to the process, which may be somebody else's: it is as it was when the last run is closed, and
what others have set aside or set higher stays.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

THRESHOLDS: Final = (50_000, 20, 100)
"""Objects more than at the last collection of the youngest; collections of a generation before that of the next."""


class _Collector:
    """Python's collector, and how it was when the first of the runs that are open found it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = 0
        self._thresholds = (0, 0, 0)
        self._set_aside = False

    def begin(self, set_aside: bool) -> None:
        with self._lock:
            self._runs += 1
            if self._runs == 1:
                self._thresholds = gc.get_threshold()
                self._set_aside = False
                if self._thresholds[0]:  # 0: somebody wants no collections at all
                    gc.set_threshold(*map(max, self._thresholds, THRESHOLDS))
            if set_aside and not self._set_aside and gc.get_freeze_count() == 0:
                self._set_aside = True
                gc.freeze()

    def end(self) -> None:
        with self._lock:
            self._runs -= 1
            if self._runs:
                return
            gc.set_threshold(*self._thresholds)
            if self._set_aside:
                gc.unfreeze()


_COLLECTOR: Final = _Collector()


@contextmanager
def collected_seldom(*, set_aside: bool = True) -> Iterator[None]:
    """Set the collector for a run. Runs may overlap, in several threads.

    `set_aside`: what is there now is not looked through; what a run is started with is not there yet before.
    """
    _COLLECTOR.begin(set_aside)
    try:
        yield
    finally:
        _COLLECTOR.end()
