"""Agents of a run, a page at a time, in order of place."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from turnwise.journal.journal import Journal

AGENTS_MAX: Final = 1_000
"""Agents of one answer."""


def agents(journal: Journal, first: int, count: int, search: str = "") -> dict[str, Any]:
    """Agents from a place on, or those in whose names a text is; `more` if there are others behind them."""
    stopped = journal.queries.stopped()
    wanted = search.casefold()
    found = (
        agent
        for agent in journal.queries.agents()
        if agent.place >= first and (not wanted or wanted in agent.name.casefold())
    )
    taken = list(islice(found, min(count, AGENTS_MAX) + 1))
    shown = taken[: min(count, AGENTS_MAX)]
    return {
        "agents": [
            {
                "place": agent.place,
                "name": agent.name,
                "kind": agent.kind,
                "born": agent.born,
                "parent": agent.parent,
                "stopped": agent.place in stopped,
            }
            for agent in shown
        ],
        "more": len(taken) > len(shown),
    }
