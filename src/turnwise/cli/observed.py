"""Telemetry for operators that a command begins beside the run that it plays."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turnwise.observing.beside import Beside


@dataclass(frozen=True, slots=True)
class Observed:
    """Telemetry that a command was asked for."""

    begin: Callable[[Path], AbstractContextManager[Beside | None]]
    """Begins it for a journal."""
    has_lines: bool = False
    """True if lines of JSON go to standard error: then nothing else does while the run is played."""


def observed_of(metrics: int | None, otlp: str | None, log_json: Path | None, *, after: int) -> Observed | None:
    """Return what the options ask for of rounds behind `after`; None if that is nothing.

    Raises UsageError if it is not installed.
    """
    if metrics is None and otlp is None and log_json is None:
        return None
    from turnwise.observing.beside import TO_STDERR, Beside
    from turnwise.observing.observer import check_installed

    if metrics is not None or otlp is not None:
        check_installed()

    def begin(journal: Path) -> AbstractContextManager[Beside | None]:
        return Beside(journal, metrics=metrics, otlp=otlp, log=log_json, after=after)

    return Observed(begin, str(log_json) == TO_STDERR)


def unobserved(_: Path) -> AbstractContextManager[Beside | None]:
    """Begin nothing."""
    return nullcontext()
