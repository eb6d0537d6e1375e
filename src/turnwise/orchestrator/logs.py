"""Logs of agents for people, kept until somebody looks. Nothing here flows back into the run."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from turnwise.core.records import RoundRecord
from turnwise.core.turn import LogLevel

LOGS_KEPT_MAX: Final = 1_000
"""Logs beyond these push out the oldest; the journal has them all."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A log of an agent: one call of `t.log`. The text may have several lines."""

    round: int
    agent: str
    level: LogLevel
    text: str


def logs_of(record: RoundRecord, name_of: Callable[[int], str]) -> list[Logged]:
    """Return the logs of a round, in order. Turns that failed have logged nothing."""
    return [
        Logged(record.round, name_of(turn.place), log.level, log.text)
        for turn in record.turns
        if turn.output is not None
        for log in turn.output.log
    ]


class Logs:
    """The latest logs. Written to by the run's thread, read by any other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[Logged] = deque()
        self._lost = 0

    def note(self, record: RoundRecord, name_of: Callable[[int], str]) -> None:
        """Take what was logged in a round."""
        found = logs_of(record, name_of)
        with self._lock:
            self._kept.extend(found)
            while len(self._kept) > LOGS_KEPT_MAX:
                self._kept.popleft()
                self._lost += 1

    def take(self) -> tuple[list[Logged], int]:
        """Take the logs since the last call, in order, and how many before those are lost."""
        with self._lock:
            taken = list(self._kept), self._lost
            self._kept.clear()
            self._lost = 0
        return taken
