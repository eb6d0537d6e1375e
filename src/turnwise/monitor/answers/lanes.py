"""Lanes by lineage: each agent is followed by those that it spawned, and theirs, in order of place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from turnwise.journal.journal import Journal
from turnwise.journal.read.grid import Cell, Measure, Recorded

AGENTS_MAX: Final = 200_000
"""Agents that are laid by lineage; those behind them follow in order of place."""


def lineage(parents: Sequence[int | None]) -> list[tuple[int, int]]:
    """Return (place, depth) by lane; `parents` are by place, and a parent has a lower place than its children."""
    children: dict[int | None, list[int]] = {}
    for place, parent in enumerate(parents):
        known = parent if parent is not None and parent < place else None
        children.setdefault(known, []).append(place)
    lanes: list[tuple[int, int]] = []
    open_ = [(place, 0) for place in reversed(children.get(None, []))]
    while open_:
        place, depth = open_.pop()
        lanes.append((place, depth))
        open_ += [(child, depth + 1) for child in reversed(children.get(place, []))]
    return lanes


class Lineage:
    """The lanes of a run, made again when agents were added."""

    def __init__(self) -> None:
        self._lanes: list[tuple[int, int]] = []

    def extend(self, journal: Journal) -> None:
        """Take the agents that are there now."""
        count = journal.queries.agent_count()
        if count != len(self._lanes):
            parents = journal.grid.parents()
            self._lanes = lineage(parents[:AGENTS_MAX]) + [(at, 0) for at in range(AGENTS_MAX, len(parents))]

    def cells(
        self,
        journal: Journal,
        measure: Measure | Recorded,
        first: int,
        lane_first: int,
        bits: tuple[int, int],
        side_bits: int,
    ) -> list[Cell]:
        """Cells of a tile whose rows are lanes; `bits` are those of rounds and of lanes."""
        lanes = self._lanes[lane_first : lane_first + (1 << (bits[1] + side_bits))]
        return journal.grid.lane_cells(measure, first, [place for place, _ in lanes], *bits, side_bits)

    def places(self, first: int, count: int) -> list[int]:
        """Places of the agents of some lanes, in order of lane."""
        return [place for place, _ in self._lanes[first : first + count]]

    def agents(self, journal: Journal, first: int, count: int) -> dict[str, Any]:
        """Agents of some lanes, with how deep they are in their lineage."""
        names = journal.grid.names()
        return {
            "agents": [
                {"place": lane, "name": names[place], "depth": depth}
                for lane, (place, depth) in enumerate(self._lanes[first : first + count], first)
            ],
            "more": first + count < len(self._lanes),
        }
