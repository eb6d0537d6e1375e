"""Values over rounds: those that agents recorded, and what each round took and came to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final

from turnwise.errors import UsageError
from turnwise.journal.journal import Journal
from turnwise.journal.read.grid import ROUND_NUMBERS
from turnwise.monitor.answers.names import AgentNames

POINTS_MAX: Final = 1_000
"""Points of a line; where there are more rounds, several make one, with the lowest, the mean and the highest."""
LINES_MAX: Final = 24
"""Lines of one answer."""
OTHER_NUMBERS: Final = ("time", "tokens")
"""Numbers of rounds that no column of rounds holds: microseconds, and tokens that models wrote."""
PLACE_END: Final = 2**53
"""Place behind all others."""


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


def numbers(journal: Journal, name: str) -> dict[str, Any]:
    """A number of each round, over rounds, as `records` has a recorded value; times are microseconds."""
    rounds_each = max(1, -(-journal.rounds.last_round // POINTS_MAX))
    if name in ROUND_NUMBERS:
        points = journal.grid.round_series(name, rounds_each)
    elif name == "time":
        points = _joined(((number, float(took)) for number, _, took in journal.timings.lengths()), rounds_each)
    elif name == "tokens":
        points = _joined(_tokens(journal), rounds_each)
    else:
        known = ", ".join((*ROUND_NUMBERS, *OTHER_NUMBERS))
        raise UsageError("rounds have no such number", where="name", actual=name, hint=f"There: {known}.")
    return {"name": name, "rounds_each": rounds_each, "lines": [{"agent": "each round", "points": points}], "hidden": 0}


def _tokens(journal: Journal) -> Iterator[tuple[int, float]]:
    """Tokens that models wrote in each round, rounds without any included."""
    last = journal.rounds.last_round
    sums = dict.fromkeys(range(1, last + 1), 0)
    for number, _, tokens in journal.amounts.tokens(1, last + 1, 0, PLACE_END):
        sums[number] += tokens
    yield from ((number, float(tokens)) for number, tokens in sums.items())


def _joined(values: Iterable[tuple[int, float]], rounds_each: int) -> list[tuple[int, int, float, float, float]]:
    """Values by round, in order, as points of so many rounds: first round, values, lowest, mean, highest."""
    found = []
    for index, group in groupby(values, lambda entry: entry[0] // rounds_each):
        of = [value for _, value in group]
        found.append((index * rounds_each, len(of), min(of), sum(of) / len(of), max(of)))
    return found
