"""The newest of a run, for a place with little room: its last rounds, and what was said in them."""

from __future__ import annotations

from typing import Any, Final

from turnwise.journal.journal import Journal
from turnwise.monitor.answers.conversation import conversation
from turnwise.monitor.answers.names import AgentNames
from turnwise.monitor.answers.summary import pulse

ROUNDS_MAX: Final = 200
"""Rounds of one answer."""
TALK_ROUNDS_MAX: Final = 5
"""Rounds of one answer whose turns are told."""
NAMES_MAX: Final = 8
"""Agents of a round that are named."""


def recent(journal: Journal, after: int) -> dict[str, Any]:
    """Rounds behind `after`, at most the last ROUNDS_MAX, and the turns of the last TALK_ROUNDS_MAX of them.

    `skipped` counts the rounds between `after` and these.
    """
    now = pulse(journal)
    first = max(after + 1, now["last_round"] - ROUNDS_MAX + 1)
    summaries = list(journal.rounds.summaries(first))
    told_from = max(after, now["last_round"] - TALK_ROUNDS_MAX)
    names = AgentNames(journal)
    moved = journal.grid.movers(first, now["last_round"], NAMES_MAX)
    times = {of.round: of.duration_us for of in journal.timings.between(first)}
    return {
        **now,
        "skipped": first - after - 1 if after else 0,
        "rounds": [
            {
                "round": found.round,
                "turns": found.turns,
                "failed": found.failed,
                "effects": found.effects,
                "messages": found.messages + found.inputs,
                "fuel": found.fuel,
                "duration_us": times.get(found.round),
                "moved": [names.of(place) for place in moved.get(found.round, ())],
            }
            for found in summaries
        ],
        "talk": conversation(journal, (), told_from)["turns"],
    }
