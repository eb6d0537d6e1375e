"""Questions across rounds: agents, the turns of one of them, messages, records, logs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final, Literal

from turnwise.core.records import AgentRecord, MessageRecord, TurnRecord
from turnwise.errors import JournalError
from turnwise.journal.file.blobs import HASH_OF_NOTHING
from turnwise.journal.file.errors import damaged
from turnwise.journal.read.columns import AGENT, LOG, RECORD
from turnwise.journal.read.decode import Row, pages
from turnwise.journal.read.query import PAGE_ROWS, Query
from turnwise.journal.read.rounds import RoundReader
from turnwise.journal.read.rows import LogRow, RecordRow, Totals

_WITHHELD: Final = "size = 0 AND hash != ?"

_LOW_BITS: Final = 0xFFFF_FFFF
"""SQLite adds up to 63 bits, which sums of fuel may exceed: so they are added by halves."""

ROUNDS_OF: Final = "SELECT rounds.round FROM rounds CROSS JOIN turns USING (round) WHERE turns.place = ?"
"""Rounds in which a place had a turn: one look into each round's turns, since an index by place would make a commit
cost more the longer a journal is."""


class QueryReader:
    """Answers questions about many rounds, a page at a time."""

    def __init__(self, query: Query, rounds: RoundReader) -> None:
        self._query = query
        self._rounds = rounds

    def agents(self, at_round: int | None = None) -> Iterator[AgentRecord]:
        """Yield all agents that existed after a round (default: the last), stopped ones too, in order of place."""

        def fetch(after: int) -> list[Row]:
            return self._query.rows(f"{AGENT} WHERE place > ? ORDER BY place LIMIT ?", after, PAGE_ROWS)

        for row in pages(fetch, -1, PAGE_ROWS):
            agent = self._query.decoder.agent(row)
            if at_round is not None and agent.born > at_round:
                return
            yield agent

    def agent_count(self) -> int:
        """Count all agents that ever were."""
        row = self._query.row("SELECT count(*) FROM agents")
        return 0 if row is None else self._query.decoder.integer(row[0], "a count")

    def agent(self, name: str) -> AgentRecord:
        """The agent of this name."""
        row = self._query.row(f"{AGENT} WHERE name = ?", name)
        if row is None:
            what = f"there is no agent {name!r}."
            raise JournalError(what, where=str(self._query.path), actual=name, hint="Check the name.")
        return self._query.decoder.agent(row)

    def stopped(self, at_round: int | None = None) -> frozenset[int]:
        """Places of the agents that were stopped in a round up to this one."""
        rows = self._query.rows("SELECT place FROM stops WHERE ? IS NULL OR round <= ?", at_round, at_round)
        stopped = frozenset(self._query.decoder.integer(place, "a stop") for (place,) in rows)
        if not self._rounds.changes_any:
            return stopped
        last = self._rounds.last_round if at_round is None else at_round
        changed = self._query.rows("SELECT target FROM changes WHERE what = 'stop' AND round <= ?", last)
        return stopped | {self._query.decoder.integer(place, "a stop") for (place,) in changed}

    def turns(self, place: int | None = None, at_round: int | None = None) -> Iterator[tuple[int, TurnRecord]]:
        """Turns with their rounds, of one agent, of one round, or of both, in order."""
        if at_round is not None:
            yield from ((at_round, turn) for turn in self._turns_of(at_round, place))
        elif place is None:
            for record in self._rounds.between():
                yield from ((record.round, turn) for turn in record.turns)
        else:

            def fetch(after: int) -> list[Row]:
                return self._query.rows(f"{ROUNDS_OF} AND rounds.round > ? ORDER BY 1 LIMIT ?", place, after, PAGE_ROWS)

            for (number,) in pages(fetch, 0, PAGE_ROWS):
                yield from ((number, turn) for turn in self._turns_of(number, place))

    def turn_before(self, place: int, number: int) -> tuple[int, TurnRecord] | None:
        """The latest turn of an agent before a round, with its round; None if there is none."""
        row = self._query.row(f"{ROUNDS_OF} AND rounds.round < ? ORDER BY 1 DESC LIMIT 1", place, number)
        return None if row is None else (row[0], next(iter(self._turns_of(row[0], place))))

    def _turns_of(self, number: int, place: int | None) -> Iterable[TurnRecord]:
        if place is None:
            return self._rounds.round(number).turns
        summary = self._rounds.summary(number)
        rows = self._query.rows(
            f"SELECT * FROM ({self._query.messages} WHERE seq >= ? ORDER BY seq LIMIT ?) WHERE sender = ? ORDER BY seq",
            summary.message_first or 0,
            summary.inputs + summary.messages,
            place,
        )
        return self._rounds.turns(number, number, map(self._query.decoder.message, rows), place).get(number, [])

    def called(self, not_made: Collection[str]) -> Iterator[str]:
        """Yield the tool of each call that was recorded, but for those with an error of some kinds, in no order."""
        decoder = self._query.decoder

        def fetch(after: int) -> list[Row]:
            select = "SELECT DISTINCT round FROM effects WHERE kind = 'call' AND round > ? ORDER BY round LIMIT ?"
            return self._query.rows(select, after, PAGE_ROWS)

        for (round_,) in pages(fetch, 0, PAGE_ROWS):
            select = "SELECT request, reply FROM effects WHERE round = ? AND kind = 'call'"
            for request, reply in self._query.rows(select, round_):
                said = decoder.json(reply, "the reply to a call")
                error = said.get("error") if isinstance(said, dict) else None
                if isinstance(error, dict) and error.get("kind") in not_made:
                    continue
                asked = decoder.json(request, "a call")
                if isinstance(asked, dict) and isinstance(tool := asked.get("tool"), str):
                    yield tool

    def totals(self, last: int, place: int | None = None) -> Totals:
        """Return sums over the rounds up to this one, or over the turns of one agent in them."""
        of, at = ("", (last,)) if place is None else (" AND turns.place = ?", (last, place))
        turns = self._query.row(
            "SELECT count(*), count(failure), coalesce(sum(turns.fuel >> 32), 0), coalesce(sum(turns.fuel & ?), 0) "
            f"FROM rounds CROSS JOIN turns USING (round) WHERE rounds.round <= ?{of}",
            _LOW_BITS,
            *at,
        ) or (0, 0, 0, 0)
        of = "IS NOT NULL" if place is None else "= ?"
        sent = self._query.row(f"SELECT count(*) FROM messages WHERE round <= ? AND sender {of}", *at) or (0,)
        effects = tokens = 0
        for number in self._rounds.holding("effects", last=last):
            for effect in self._rounds.effects(number, place):
                effects, tokens = effects + 1, tokens + len(effect.tokens or ())
        count, failed, high, low = [self._query.decoder.integer(value, "a sum over turns") for value in turns]
        return Totals(count, failed, sent[0], effects, tokens, (high << 32) + low)

    def messages(self, seq_first: int = 0) -> Iterator[MessageRecord]:
        """Yield all messages from a sequence number on, those from outside too."""

        def fetch(after: int) -> list[Row]:
            return self._query.rows(f"{self._query.messages} WHERE seq > ? ORDER BY seq LIMIT ?", after, PAGE_ROWS)

        for row in pages(fetch, seq_first - 1, PAGE_ROWS):
            yield self._query.decoder.message(row)

    def is_redacted(self) -> bool:
        """Return whether texts were taken out of the journal."""
        if self._query.row(f"SELECT 1 FROM blobs WHERE {_WITHHELD} LIMIT 1", HASH_OF_NOTHING) is not None:
            return True
        return (
            self._query.row("SELECT 1 FROM records WHERE typeof(value) = 'blob' AND value >= ? LIMIT 1", b"s")
            is not None
        )

    def withheld_messages(self) -> set[int]:
        """Sequence numbers of the messages whose bodies were taken out."""
        select = (
            f"SELECT seq FROM messages JOIN blobs ON blobs.id = body WHERE typeof(body) = 'integer' AND {_WITHHELD}"
        )
        return {
            self._query.decoder.integer(seq, "a message's seq") for (seq,) in self._query.rows(select, HASH_OF_NOTHING)
        }

    def message(self, seq: int) -> MessageRecord:
        """The message with this sequence number."""
        row = self._query.row(f"{self._query.messages} WHERE seq = ?", seq)
        if row is None:
            raise damaged(self._query.path, f"message {seq} is missing")
        return self._query.decoder.message(row)

    def records(self, name: str | None = None, place: int | None = None) -> Iterator[RecordRow]:
        """Recorded values, in order of round and place; of one name or one agent if asked."""
        for number, rows in self._by_round(RECORD, "records"):
            for row in rows:
                if (place is None or row[1] == place) and (name is None or row[3] == name):
                    record = self._query.decoder.record(row)
                    yield RecordRow(number, self._query.decoder.integer(row[1], "a place"), record.name, record.value)

    def logs(self, place: int | None = None) -> Iterator[LogRow]:
        """Lines that agents logged, in order of round and place; of one agent if asked."""
        for number, rows in self._by_round(LOG, "logs"):
            for row in rows:
                if place is None or row[1] == place:
                    log = self._query.decoder.log(row)
                    yield LogRow(number, self._query.decoder.integer(row[1], "a place"), log)

    def _by_round(self, select: str, count: Literal["logs", "records"]) -> Iterator[tuple[int, list[Row]]]:
        for number in self._rounds.holding(count):
            yield number, self._query.rows(f"{select} WHERE round = ? ORDER BY place, nr", number)
