"""A run of a sweep as a row: what it was given, how it ended, and the numbers that came of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from turnwise.journal.run import Run
from turnwise.journal.run_rows import Status

DEPTH_MAX: Final = 4
"""Members of a result that lie deeper are not measured."""


@dataclass(frozen=True, slots=True)
class RecordedSeries:
    """Values that agents of a run have recorded under one name."""

    last: float | int | str
    """The last value."""
    mean: float | None
    """Mean of the numbers among them; None if there is none."""


@dataclass(frozen=True, slots=True)
class SweptRun:
    """A run of a sweep."""

    settings: Mapping[str, str]
    """Value of each variable, as it is written in a world file."""
    seed: int
    """Seed of the run."""
    status: Status | Literal["error"]
    """End of the run; `error` if it could not be played to its end."""
    message: str | None = None
    """Reason why it failed; else None."""
    head: str | None = None
    """Head of the run; None if there is none."""
    rounds: int = 0
    """Number of the last round that was committed."""
    turns: int = 0
    """Turns, failed ones too."""
    failed: int = 0
    """Turns that failed."""
    result: Any = None
    """JSON value that it ended with, or None."""
    records: Mapping[str, RecordedSeries] = field(default_factory=dict)
    """Recorded values by name."""
    journal: Path | None = None
    """Journal of the run, if it was kept."""

    @property
    def is_whole(self) -> bool:
        """True if the run came to an end that is no failure."""
        return self.status not in ("failed", "error", "open")

    def measures(self) -> dict[str, float | int]:
        """Return the numbers of the run: in its result, and last and mean of its records."""
        found = dict(_numbers("result", self.result, 0))
        for name, series in self.records.items():
            if _is_number(series.last):
                found[f"record.{name}.last"] = series.last  # type: ignore[assignment]  # a number, as was asked
            if series.mean is not None:
                found[f"record.{name}.mean"] = series.mean
        return found


def row_of(run: Run, settings: Mapping[str, str], journal: Path | None) -> SweptRun:
    """Read the row of a run from its journal."""
    values: dict[str, list[float | int | str]] = {}
    for record in run.records:
        values.setdefault(record.name, []).append(record.value)
    return SweptRun(
        settings=settings,
        seed=run.seed,
        status=run.status,
        message=run.message,
        head=run.head,
        rounds=run.last_round,
        turns=len(run.turns),
        failed=len(run.failures),
        result=run.result,
        records={name: RecordedSeries(of[-1], _mean(of)) for name, of in values.items()},
        journal=journal,
    )


def _mean(values: list[float | int | str]) -> float | None:
    numbers = [float(value) for value in values if isinstance(value, int | float) and _is_number(value)]
    return math.fsum(numbers) / len(numbers) if numbers else None


def _numbers(name: str, value: object, depth: int) -> Iterator[tuple[str, float | int]]:
    if isinstance(value, int | float) and _is_number(value):
        yield name, value
    elif isinstance(value, Mapping) and depth < DEPTH_MAX:
        for member, inner in value.items():
            yield from _numbers(f"{name}.{member}", inner, depth + 1)


def _is_number(value: object) -> bool:
    """True for a number that a double can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
