"""Recorded values over rounds."""

from __future__ import annotations

from typing import Any, Final

from turnwise.journal.journal import Journal
from turnwise.monitor.answers.names import AgentNames

POINTS_MAX: Final = 1_000
"""Points of a line; where there are more rounds, several make one, with the lowest, the mean and the highest."""
LINES_MAX: Final = 24
"""Lines of one answer."""


def records(journal: Journal, name: str, agents: tuple[str, ...]) -> dict[str, Any]:
    """A recorded value over rounds, a line an agent if any are named, else one over all."""
    names = AgentNames(journal)
    rounds_each = max(1, -(-journal.rounds.last_round // POINTS_MAX))
    chosen = [(agent, names.place(agent)) for agent in agents[:LINES_MAX]]
    lines = [(agent, (place,)) for agent, place in chosen if place is not None] if agents else [("all agents", ())]
    return {
        "name": name,
        "rounds_each": rounds_each,
        "lines": [
            {"agent": agent, "points": journal.grid.series(name, places, rounds_each)} for agent, places in lines
        ],
        "hidden": max(0, len(agents) - LINES_MAX),
    }
