"""A figure: what was measured, what it should be, and whether it is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    `values` are what was measured, in `unit`, one a repetition; their median counts. It has to be at most, or at least,
    `target`. `seconds` are medians of the sides that were measured, by name.
    """

    name: str
    values: tuple[float, ...]
    unit: str
    target: float
    at_least: bool
    seconds: dict[str, float]

    @property
    def reached(self) -> float:
        """Median of what was measured."""
        return statistics.median(self.values)

    @property
    def holds(self) -> bool:
        """True if it is what it should be."""
        return self.reached >= self.target if self.at_least else self.reached <= self.target

    def line(self) -> dict[str, object]:
        """The figure as JSON."""
        return {
            "figure": self.name,
            "reached": round(self.reached, 4),
            "spread": [round(min(self.values), 4), round(max(self.values), 4)],
            "unit": self.unit,
            "at_least" if self.at_least else "at_most": self.target,
            "holds": self.holds,
            "times": len(self.values),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }


def timed(side: Callable[[], object]) -> tuple[float, object]:
    """Do something once; return the seconds that it took, and what came of it."""
    begun = time.perf_counter()
    found = side()
    return time.perf_counter() - begun, found


def alternately(sides: dict[str, Callable[[], str]], times: int) -> dict[str, list[float]]:
    """Do all sides one after the other, so many times; return the seconds of each. All come to the same head."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    heads: dict[str, str] = {}
    for _ in range(times):
        for name, side in sides.items():
            seconds, head = timed(side)
            taken[name].append(seconds)
            heads[name] = str(head)
            if len(set(heads.values())) != 1:
                raise SystemExit(f"the sides come to different heads: {heads}")
    return taken


def ratios(one: Sequence[float], other: Sequence[float]) -> tuple[float, ...]:
    """Ratios of neighbours."""
    return tuple([first / second for first, second in zip(one, other, strict=True)])


def medians(taken: dict[str, list[float]]) -> dict[str, float]:
    """Median of each side."""
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def table(figures: Iterable[Figure]) -> str:
    """All figures as a table in Markdown: target, reached, spread, and whether it holds."""
    lines = ["| figure | target | reached | spread | times | holds |", "| -- | -- | -- | -- | -- | -- |"]
    for figure in figures:
        sign = "≥" if figure.at_least else "≤"
        low, high = min(figure.values), max(figure.values)
        unit = f" {figure.unit}" if figure.unit else ""
        lines.append(
            f"| {figure.name} | {sign} {figure.target:g}{unit} | {figure.reached:.3g}{unit} "
            f"| {low:.3g} to {high:.3g} | {len(figure.values)} | {'yes' if figure.holds else '**no**'} |"
        )
    return "\n".join(lines)
