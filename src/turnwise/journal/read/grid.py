"""Sums over rounds and agents, for pictures of a whole run: never a row a turn where many fall together."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from turnwise.core.records import MessageRecord
from turnwise.journal.read.decode import Row
from turnwise.journal.read.queries import ROUNDS_OF
from turnwise.journal.read.query import Query

Measure = Literal["turns", "fuel", "executions", "effects"]
"""Quantity that is summed in a cell: turns, their fuel, their executions, the effects that they asked for."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A value that agents recorded, as what a cell is measured by: its mean, over the turns that recorded it."""

    name: str
    """Name under which it was recorded."""


ROUND_NUMBERS: Final = ("turns", "failed", "messages", "effects", "fuel", "agents", "spawned", "logs")
"""Numbers of a round that are columns of it."""

_TURNS: Final = (
    "SELECT ((turns.round - ?1) >> ?3) + (((turns.place - ?4) >> ?6) << ?7), count(*), sum(failure IS NOT NULL), "
    "{value} FROM rounds CROSS JOIN turns ON turns.round = rounds.round "
    "AND turns.place >= ?4 AND turns.place < ?5 WHERE rounds.round >= ?1 AND rounds.round < ?2 GROUP BY 1"
)
_LANES: Final = (
    "WITH lanes(lane, place) AS MATERIALIZED (SELECT key, value FROM json_each(?4)) "
    "SELECT ((turns.round - ?1) >> ?3) + ((lanes.lane >> ?5) << ?6), count(*), sum(failure IS NOT NULL), "
    "{value} FROM rounds CROSS JOIN {joined} WHERE rounds.round >= ?1 AND rounds.round < ?2 GROUP BY 1"
)
_TURN_OF_EACH_LANE: Final = "lanes CROSS JOIN turns ON turns.round = rounds.round AND turns.place = lanes.place"
_LANE_OF_EACH_TURN: Final = "turns ON turns.round = rounds.round CROSS JOIN lanes ON lanes.place = turns.place"
_MOVERS: Final = (
    "SELECT rounds.round, (SELECT group_concat(place) FROM (SELECT place FROM turns WHERE turns.round = rounds.round "
    "ORDER BY place LIMIT ?3)) FROM rounds WHERE rounds.round >= ?1 AND rounds.round <= ?2"
)
_ASKED_FOR: Final = (
    "SELECT round, place, nr, kind, model, CASE kind WHEN 'call' THEN request END FROM effects "
    "WHERE round >= ? AND round <= ? AND place >= ? AND place < ?"
)
_VALUES: Final[dict[Measure, str]] = {
    "turns": "total(1)",
    "fuel": "total(turns.fuel)",
    "executions": "total(turns.executions)",
    "effects": "total((SELECT count(*) FROM effects WHERE effects.round = turns.round "
    "AND effects.place = turns.place))",
}
_RECORDED: Final = (
    "count(*) * avg((SELECT avg(value) FROM records WHERE records.round = turns.round "
    "AND records.place = turns.place AND records.name = ?{name} AND typeof(value) IN ('integer', 'real')))"
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a grid in which at least one turn lies."""

    index: int
    """Column plus row times the side of the grid; columns are rounds, rows are places."""
    turns: int
    """Turns in it."""
    failed: int
    """Turns in it that failed."""
    value: float
    """Sum of what is measured; of a recorded value its mean times `turns`, NaN where no turn recorded a number."""


@dataclass(frozen=True, slots=True)
class AskedFor:
    """Something that an effect asked for."""

    kind: str
    """Kind of the effect."""
    model: str | None
    """Name of the model, if one was asked."""
    request: str | None
    """Request of a call of a tool; None for any other effect."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Messages from one agent to another."""

    sender: int | None
    """Place of the sender; None for outside."""
    recipient: int
    """Place of the recipient."""
    messages: int
    """Messages of the one that the other was sent."""


class GridReader:
    """Sums parts of a journal by SQL."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def cells(
        self,
        measure: Measure | Recorded,
        round_first: int,
        place_first: int,
        round_bits: int,
        place_bits: int,
        side_bits: int,
    ) -> list[Cell]:
        """Cells of a square grid with anything in them.

        The grid has 2 to the `side_bits` columns and rows; a cell covers 2 to the `round_bits` rounds and 2 to the
        `place_bits` places, and the first of them begins with `round_first` and `place_first`.
        """
        value, more = _value(measure, 8)
        rows = self._query.rows(
            _TURNS.format(value=value),
            round_first,
            round_first + (1 << (round_bits + side_bits)),
            round_bits,
            place_first,
            place_first + (1 << (place_bits + side_bits)),
            place_bits,
            side_bits,
            *more,
        )
        return self._cells(rows)

    def lane_cells(
        self,
        measure: Measure | Recorded,
        round_first: int,
        places: Sequence[int],
        round_bits: int,
        lane_bits: int,
        side_bits: int,
    ) -> list[Cell]:
        """Cells as `cells` has them, of a grid whose rows are these places, in this order."""
        round_end = round_first + (1 << (round_bits + side_bits))
        row = self._query.row(
            "SELECT count(*), total(turns) FROM rounds WHERE round >= ? AND round < ?", round_first, round_end
        )
        rounds, turns = (0, 0.0) if row is None else row
        joined = _TURN_OF_EACH_LANE if rounds * len(places) < turns else _LANE_OF_EACH_TURN
        value, more = _value(measure, 7)
        sql = _LANES.format(value=value, joined=joined)
        lanes = json.dumps(list(places))
        bits = round_bits, lanes, lane_bits, side_bits
        return self._cells(self._query.rows(sql, round_first, round_end, *bits, *more))

    def _cells(self, rows: Sequence[Row]) -> list[Cell]:
        integer = self._query.decoder.integer
        return [
            Cell(
                integer(index, "a cell"),
                integer(turns, "turns"),
                integer(failed, "failed turns"),
                math.nan if value is None else float(value),
            )
            for index, turns, failed, value in rows
        ]

    def totals(self) -> dict[str, int]:
        """Sums over all rounds, by the names of what rounds count."""
        names = ("turns", "failed", "effects", "logs", "records", "inputs", "messages", "spawned", "stopped", "fuel")
        row = self._query.row(
            f"SELECT count(*), {', '.join(f'coalesce(sum({name}), 0)' for name in names)} FROM rounds"
        )
        if row is None:
            return {}
        return {
            name: self._query.decoder.integer(value, name) for name, value in zip(("rounds", *names), row, strict=True)
        }

    def parents(self) -> list[int | None]:
        """The place of the agent that spawned each, None for those of the world, in order of place."""
        rows = self._query.rows("SELECT parent FROM agents ORDER BY place")
        integer = self._query.decoder.integer
        return [None if parent is None else integer(parent, "a parent") for (parent,) in rows]

    def names(self) -> list[str]:
        """Names of all agents, in order of place."""
        rows = self._query.rows("SELECT name FROM agents ORDER BY place")
        return [self._query.decoder.text(name, "an agent's name") for (name,) in rows]

    def failed(self, first: int, last: int) -> set[tuple[int, int]]:
        """(round, place) of the turns that failed in some rounds."""
        select = "SELECT round, place FROM turns WHERE round >= ? AND round <= ? AND failure IS NOT NULL"
        integer = self._query.decoder.integer
        rows = self._query.rows(select, first, last)
        return {(integer(number, "a round"), integer(place, "a place")) for number, place in rows}

    def movers(self, first: int, last: int, most: int) -> dict[int, list[int]]:
        """Return the places of the first turns of some rounds, at most `most` of each, by round."""
        rows = self._query.rows(_MOVERS, first, last, most)
        decoder = self._query.decoder
        return {
            decoder.integer(number, "a round"): [] if places is None else [int(place) for place in places.split(",")]
            for number, places in rows
        }

    def effects(self, first: int, last: int, place_first: int, place_end: int) -> dict[tuple[int, int, int], AskedFor]:
        """Return what effects asked for, by round, place and number, of some rounds and places."""
        rows = self._query.rows(_ASKED_FOR, first, last, place_first, place_end)
        decoder = self._query.decoder
        decoder.prefetch(rows, 5)
        return {
            (round_, place, nr): AskedFor(
                decoder.text(kind, "an effect's kind"),
                None if model is None else decoder.text(model, "a model"),
                None if request is None else decoder.value(request, "the request of a call"),
            )
            for round_, place, nr, kind, model, request in rows
        }

    def has_turn(self, place: int, number: int) -> bool:
        """Return whether an agent has a turn that ended in a round."""
        return self._query.row("SELECT 1 FROM turns WHERE round = ? AND place = ?", number, place) is not None

    def turn_after(self, place: int, number: int) -> int | None:
        """The round of an agent's next turn after a round; None if there is none."""
        row = self._query.row(f"{ROUNDS_OF} AND rounds.round > ? ORDER BY 1 LIMIT 1", place, number)
        return None if row is None else self._query.decoder.integer(row[0], "a round")

    def sent_by(self, place: int, number: int) -> list[MessageRecord]:
        """Messages that an agent sent in a round."""
        first, end = self.span_of_messages(number, number)
        select = f"SELECT * FROM ({self._query.messages} WHERE seq >= ? AND seq < ?) WHERE sender = ? ORDER BY seq"
        rows = self._query.rows(select, first, end, place)
        return [self._query.decoder.message(row) for row in rows]

    def span_of_messages(self, round_first: int, round_last: int) -> tuple[int, int]:
        """The first sequence number of the messages of some rounds, and the one after their last."""
        row = self._query.row(
            "SELECT min(message_first), max(message_first + inputs + messages) FROM rounds "
            "WHERE round >= ? AND round <= ? AND message_first IS NOT NULL",
            round_first,
            round_last,
        )
        if row is None or row[0] is None:
            return 0, 0
        return self._query.decoder.integer(row[0], "a message's seq"), self._query.decoder.integer(row[1], "a seq")

    def flows(self, seq_first: int, seq_end: int) -> list[Flow]:
        """Count messages by sender and recipient, from one sequence number to before another."""
        counts: dict[tuple[int | None, int], int] = {}
        select = "SELECT sender, recipients, count(*) FROM messages WHERE seq >= ? AND seq < ? GROUP BY 1, 2"
        for sender, recipients, messages in self._query.rows(select, seq_first, seq_end):
            for place in self._query.decoder.numbers(recipients, "agents", "recipients of messages"):
                key = sender, place
                counts[key] = counts.get(key, 0) + messages
        return [Flow(sender, place, messages) for (sender, place), messages in counts.items()]

    def record_names(self) -> list[str]:
        """Names under which values were recorded, in order."""
        rows = self._query.rows("SELECT DISTINCT name FROM records ORDER BY name")
        return [self._query.decoder.text(name, "a record's name") for (name,) in rows]

    def round_series(self, name: str, rounds_each: int) -> list[tuple[int, int, float, float, float]]:
        """A number of rounds, of ROUND_NUMBERS, over rounds, as `series` has a recorded value."""
        if name not in ROUND_NUMBERS:
            raise ValueError(f"rounds have no number {name!r}")
        rows = self._query.rows(
            f"SELECT (round / ?) * ?, count(*), min({name}), avg({name}), max({name}) FROM rounds "
            "GROUP BY 1 ORDER BY 1",
            rounds_each,
            rounds_each,
        )
        return [
            (self._query.decoder.integer(first, "a round"), values, float(low), float(mean), float(high))
            for first, values, low, mean, high in rows
        ]

    def series(
        self, name: str, places: tuple[int, ...], rounds_each: int
    ) -> list[tuple[int, int, float, float, float]]:
        """A recorded value over rounds: (first round, values, lowest, mean, highest) of each `rounds_each` rounds.

        Values that are no numbers are left out. Without places it is over all agents.
        """
        chosen = f"AND place IN ({', '.join('?' * len(places))})" if places else ""
        rows = self._query.rows(
            "SELECT (round / ?) * ?, count(*), min(value), avg(value), max(value) FROM records "
            f"WHERE name = ? AND typeof(value) IN ('integer', 'real') {chosen} GROUP BY 1 ORDER BY 1",
            rounds_each,
            rounds_each,
            name,
            *places,
        )
        return [
            (self._query.decoder.integer(first, "a round"), values, float(low), float(mean), float(high))
            for first, values, low, mean, high in rows
        ]


def _value(measure: Measure | Recorded, parameter: int) -> tuple[str, tuple[str, ...]]:
    """Return the expression that sums a measure, and what it needs as the parameter of a number and those behind it."""
    if isinstance(measure, Recorded):
        return _RECORDED.format(name=parameter), (measure.name,)
    return _VALUES[measure], ()
