"""The effect of each variable of a sweep on the numbers of its runs, beside that of the seed.

For a variable and a number: `moved` is the largest less the smallest of the means over the runs of each value; `spread`
is the standard deviation over seeds within a combination of values, pooled over the combinations:
sqrt(sum of squared differences from the mean of their combination / (runs - combinations)). `ratio` is moved / spread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from turnwise.sweeps.row import SweptRun


@dataclass(frozen=True, slots=True)
class VariableMove:
    """Effect of a variable on a number."""

    variable: str
    """Key of the world file."""
    measure: str
    """Name of the number: a column of the table."""
    means: dict[str, float]
    """Mean over the runs of each value."""
    moved: float
    """Largest of the means less the smallest."""
    spread: float | None
    """Standard deviation over seeds; None if no combination has two runs."""

    @property
    def ratio(self) -> float | None:
        """`moved` in units of `spread`; None without a spread, or if it is 0."""
        return self.moved / self.spread if self.spread else None


def moves_of(runs: Sequence[SweptRun]) -> list[VariableMove]:
    """Return the moves of all variables and numbers, of runs that came to their end."""
    whole = [(run, run.measures()) for run in runs if run.is_whole]
    variables = list(dict.fromkeys(key for run in runs for key in run.settings))
    measures = list(dict.fromkeys(name for _, found in whole for name in found))
    spreads = {name: spread_of([(run, found[name]) for run, found in whole if name in found]) for name in measures}
    moves = []
    for variable in variables:
        for name in measures:
            groups: dict[str, list[float]] = {}
            for run, found in whole:
                if name in found:
                    groups.setdefault(run.settings[variable], []).append(float(found[name]))
            means = {value: _mean(of) for value, of in groups.items()}
            if len(means) > 1:
                moved = max(means.values()) - min(means.values())
                moves.append(VariableMove(variable, name, means, moved, spreads[name]))
    return moves


def spread_of(found: Iterable[tuple[SweptRun, float | int]]) -> float | None:
    """Return the standard deviation over seeds within a combination, pooled; None without two runs of one."""
    cells: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for run, value in found:
        cells.setdefault(tuple(run.settings.items()), []).append(float(value))
    degrees = sum(len(of) - 1 for of in cells.values())
    if not degrees:
        return None
    means = {cell: _mean(of) for cell, of in cells.items()}
    squares = math.fsum((value - means[cell]) ** 2 for cell, of in cells.items() for value in of)
    return math.sqrt(squares / degrees)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
