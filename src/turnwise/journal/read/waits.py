"""Waits of turns for answers from outside, found by SQL for pictures of a whole run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from turnwise.core.question import ASK
from turnwise.journal.file.format import INTEGER_MAX
from turnwise.journal.read.query import Query

_WAITS: Final = """
WITH replied AS MATERIALIZED (SELECT question, min(round) AS round FROM answers GROUP BY question),
gone AS MATERIALIZED (
  SELECT place, min(round) AS round FROM (
    SELECT place, round FROM stops UNION ALL SELECT target, round FROM changes WHERE what = 'stop'
  ) GROUP BY place
),
replies AS (
  SELECT questions.round AS asked, questions.place AS place, questions.kind = ?6 AS asks, coalesce(
    replied.round, CASE WHEN questions.deadline <= (SELECT max(round) FROM rounds) THEN questions.deadline END
  ) AS round
  FROM questions LEFT JOIN replied ON replied.question = questions.id
  WHERE questions.round <= ?2 AND {chosen}
),
waits AS (
  SELECT place, asked, max(asks) AS asks, CASE WHEN count(*) = count(round) THEN max(round) END AS until
  FROM replies GROUP BY place, asked
),
followed AS (
  SELECT place, asked, asks, until, lead(asked) OVER (PARTITION BY place ORDER BY asked) AS again FROM waits
),
ended AS (
  SELECT followed.place AS place, asked, asks, min(
    coalesce(until, {never}), coalesce(again, {never}), CASE WHEN gone.round >= asked THEN gone.round ELSE {never} END
  ) AS until
  FROM followed LEFT JOIN gone ON gone.place = followed.place
)
SELECT place, asked, asks, until, count(*) OVER () FROM ended
WHERE until >= ?1 ORDER BY place, asked LIMIT ?3
"""
_NEXT_TURN: Final = (
    "SELECT rounds.round FROM rounds CROSS JOIN turns USING (round) WHERE turns.place = ? AND rounds.round > ? "
    "ORDER BY 1 LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait of an agent's turn for all answers to what it asked in one round."""

    place: int
    """Place of the agent."""
    asked: int
    """Round in which it asked."""
    until: int | None
    """Round in which the turn went on, or was given up; None if it waits after the last round."""
    people: bool
    """True if people were asked, at least one thing of several; else it waits for a slow tool."""


def waits(
    query: Query, first: int, last: int, places: Sequence[int], most: int, *, begun_anew: bool
) -> tuple[list[Wait], int]:
    """Waits that lie in some rounds and places, at most some, in order of place and round; and how many there are.

    With `begun_anew`, turns may have been begun again, as a fork has them do that changes what they were given: the
    questions of such a turn are never answered, and its wait ends with the agent's next turn.
    """
    of: tuple[int | str, int]
    if isinstance(places, range):
        chosen, of = "questions.place >= ?4 AND questions.place < ?5", (places.start, places.stop)
    else:
        chosen, of = "questions.place IN (SELECT value FROM json_each(?4)) AND ?5", (json.dumps(list(places)), 1)
    rows = query.rows(_WAITS.format(chosen=chosen, never=INTEGER_MAX), first, last, most, *of, ASK)
    integer = query.decoder.integer
    found = []
    for place, asked, asks, until, _ in rows:
        end = integer(until, "a round")
        if end == INTEGER_MAX and begun_anew:
            end = next((integer(round_, "a round") for (round_,) in query.rows(_NEXT_TURN, place, asked)), end)
        until_ = None if end == INTEGER_MAX else end
        wait = Wait(integer(place, "a place"), integer(asked, "a round"), until_, bool(asks))
        found.append(wait)
    return found, integer(rows[0][4], "a count") if rows else 0
