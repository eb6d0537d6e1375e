"""Ctrl-C as a request: counted, and answered where it is safe."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

ASKS_MAX = 3
"""The first asks to stop at a safe point, the second to stop at once; the third gives up waiting for that."""


class Interrupts:
    """While it is entered, SIGINT and SIGTERM are counted instead of acted upon. `count` may be read at any time.

    Whoever waits looks at `count` between waits of at most a tenth of a second: a handler that acted itself would run
    between any two instructions of the code that it wants to stop. From the third on, KeyboardInterrupt is raised,
    so that a program that cannot stop can still be left.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # signals are the main thread's alone
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() itself has returned
        self._before.clear()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count >= ASKS_MAX:
            raise KeyboardInterrupt
