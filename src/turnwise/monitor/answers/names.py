"""AgentNames of agents by their places, read once for an answer."""

from __future__ import annotations

from turnwise.core.plan import OUTSIDE
from turnwise.journal.journal import Journal


class AgentNames:
    """The names of a journal's agents."""

    def __init__(self, journal: Journal) -> None:
        self._names = journal.grid.names()

    def of(self, place: int | None) -> str:
        """Return the name of the agent at a place; `outside` for None."""
        return OUTSIDE if place is None else self._names[place]

    def place(self, name: str) -> int | None:
        """Return the place of a name; None if nobody has it."""
        return self._names.index(name) if name in self._names else None
