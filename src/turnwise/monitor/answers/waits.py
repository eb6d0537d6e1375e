"""Waits: from which round to which an agent's turn waited for somebody outside."""

from __future__ import annotations

from typing import Any, Final

from turnwise.journal.journal import Journal
from turnwise.monitor.answers.lanes import Lineage

WAITS_MAX: Final = 2_000
"""Waits of one answer; the page says how many more there are."""


def waits(
    journal: Journal, first: int, last: int, row_first: int, row_last: int, lanes: Lineage | None = None
) -> dict[str, Any]:
    """Waits that lie in some rounds and rows, each `[row, round that asked, round that goes on, or None, kind]`.

    The kind is `people`, or `tool` for a slow one. Rows are places, or with `lanes` these.
    """
    places = range(row_first, row_last + 1) if lanes is None else lanes.places(row_first, row_last + 1 - row_first)
    row_of = None if lanes is None else {place: row_first + at for at, place in enumerate(places)}
    found, count = journal.rounds.parks.waits(first, last, places, WAITS_MAX)
    rows = [one.place if row_of is None else row_of[one.place] for one in found]
    return {
        "waits": [
            [row, one.asked, one.until, "people" if one.people else "tool"]
            for row, one in zip(rows, found, strict=True)
        ],
        "hidden": count - len(found),
    }
