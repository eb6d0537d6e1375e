"""Ctrl-C as a request: counted, and answered where it is safe."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

INTERRUPTED = 128 + signal.SIGINT
"""Exit code after Ctrl-C, as shells have it."""
TERMINATED = 128 + signal.SIGTERM
"""Exit code after SIGTERM: supervisors tell by it that a program ended since it was asked to."""

ASKS_MAX = 3
"""The first asks to stop at a safe point, the second to stop at once; the third gives up waiting for that."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where Ctrl-C would raise KeyboardInterrupt: as orderly an end."""


def terminate(_number: int, _frame: FrameType | None) -> None:
    """Handle SIGTERM outside of `Interrupts`."""
    raise Terminated


def exit_code(error: BaseException) -> int:
    """Return the exit code for an interruption that was raised."""
    return TERMINATED if isinstance(error, Terminated) else INTERRUPTED


class Interrupts:
    """While it is entered, SIGINT and SIGTERM are counted instead of acted upon. `count` may be read at any time.

    Whoever waits looks at `count` between waits of at most a tenth of a second: a handler that acted itself would run
    between any two instructions of the code that it wants to stop. From the third on, KeyboardInterrupt is raised,
    so that a program that cannot stop can still be left.
    """

    def __init__(self) -> None:
        self.count = 0
        self.code = INTERRUPTED
        """Exit code for the signal that came first; that of Ctrl-C while none has come."""
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
        if self.count == 0:
            self.code = 128 + number
        self.count += 1
        if self.count >= ASKS_MAX:
            raise Terminated if self.code == TERMINATED else KeyboardInterrupt
