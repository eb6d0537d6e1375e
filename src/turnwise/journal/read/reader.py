"""Reading a journal, also while another process writes it.

Every statement is read to its end before anything is returned, so that no read transaction stays open: a writer's log
could not be copied into the journal meanwhile. Since a round appears in `rounds` in the same moment as its other rows,
and rows never change, reading statement by statement is consistent. At most one large round is in memory at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

from turnwise.core.records import AgentRecord, EndRecord, MessageRecord, RoundRecord, TurnRecord, WaveRecord
from turnwise.errors import JournalError
from turnwise.journal.file.code_source import CodeSource
from turnwise.journal.file.errors import damaged, reading
from turnwise.journal.read.decode import Decoder, Row, by_turn, pages
from turnwise.journal.read.rows import LogRow, RecordRow, RoundSummary, WriterRow

PAGE_ROWS: Final = 1_000
"""Rows that are fetched at once where a whole table is read."""

_AGENT: Final = "SELECT place, name, kind, args, state, born, parent, grants FROM agents"
_MESSAGE: Final = "SELECT seq, round, sender, receiver, body, recipients FROM messages"
_TURN: Final = (
    "SELECT round, place, turn, inbox, failure, message, state, wake_in, extra, stdout, fuel, executions FROM turns"
)
_EFFECT: Final = "SELECT round, place, nr, kind, model, request, reply FROM effects"
_LOG: Final = "SELECT round, place, nr, level, text FROM logs"
_RECORD: Final = "SELECT round, place, nr, name, value FROM records"
_WAVE: Final = "SELECT round, 0, nr, wave, model, requests, plan FROM waves"
FORMAT_OF_WAVES: Final = 2
ROUNDS_OF: Final = "SELECT rounds.round FROM rounds CROSS JOIN turns USING (round) WHERE turns.place = ?"
"""Rounds in which a place had a turn: one look into each round's turns, since an index by place would make a commit
cost more the longer a journal is."""
_ROUND: Final = (
    "SELECT round, head, execution, message_first, turns, failed, effects, logs, records, inputs, messages, spawned, "
    "agents, stopped, fuel, {waves} FROM rounds"
)


class JournalReader:
    """Everything that can be asked of a journal. Not for several threads at once.

    All methods raise JournalError where the journal is damaged, and EnvironmentFailure where the disk fails.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self._connection = connection
        self._decoder = Decoder(connection, path)
        self._format = 0

    def _rows(self, sql: str, *parameters: object) -> list[Row]:
        with reading(self.path):
            try:
                return self._connection.execute(sql, parameters).fetchall()
            except OverflowError as error:
                raise damaged(self.path, f"a number in it is too large: {error}") from error

    def _row(self, sql: str, *parameters: object) -> Row | None:
        rows = self._rows(sql, *parameters)
        return rows[0] if rows else None

    # What was there from the beginning.

    def meta(self, name: str) -> str:
        """A text of the table `meta`."""
        row = self._row("SELECT value FROM meta WHERE name = ?", name)
        if row is None:
            raise damaged(self.path, f"its {name} is missing")
        return self._decoder.value(row[0], name)

    @property
    def plan(self) -> str:
        """The world's plan, canonical JSON text."""
        return self.meta("plan")

    @property
    def info(self) -> str:
        """What the latest writer noted to find things again (paths, providers), JSON text. Not part of any head."""
        return self.writers()[-1].info

    @property
    def versions(self) -> str:
        """Versions of everything as the run began with, JSON text; the execution chain begins with it."""
        return self.writers()[0].versions

    def writers(self) -> list[WriterRow]:
        """Who wrote: the run itself first, then each resume."""
        decoder = self._decoder
        rows = self._rows("SELECT round, versions, info FROM writers ORDER BY id")
        if not rows:
            raise damaged(self.path, "nobody wrote it")
        return [
            WriterRow(
                decoder.integer(row[0], "round of a writer"),
                decoder.value(row[1], "versions of a writer"),
                decoder.value(row[2], "info of a writer"),
            )
            for row in rows
        ]

    @property
    def codes(self) -> Mapping[str, CodeSource]:
        """What agents execute, by the code hash of the plan."""
        decoder = self._decoder
        codes: dict[str, CodeSource] = {}
        for code, carrier, entry, interpreter in self._rows("SELECT code, carrier, entry, interpreter FROM codes"):
            files = []
            for name, blob in self._rows("SELECT name, blob FROM code_files WHERE code = ? ORDER BY nr", code):
                number = decoder.integer(blob, f"blob of a file of code {code}")
                files.append((decoder.text(name, f"name of a file of code {code}"), decoder.blobs.content(number)))
            codes[decoder.text(code, "hash of a code")] = CodeSource(
                decoder.text(carrier, f"carrier of code {code}"),
                decoder.text(entry, f"entry of code {code}"),
                tuple(files),
                None if interpreter is None else decoder.text(interpreter, f"interpreter of code {code}"),
            )
        return codes

    # Rounds.

    @property
    def last_round(self) -> int:
        """The last round that is committed, 0 if none is."""
        row = self._row("SELECT max(round) FROM rounds")
        return 0 if row is None or row[0] is None else self._decoder.integer(row[0], "a round")

    @property
    def head(self) -> bytes | None:
        """Head of the last round, None before the first."""
        last = self.last_round
        return self.summary(last).head if last else None

    @property
    def end_record(self) -> EndRecord | None:
        """How the run ended; None while it has not, or has been continued after it had."""
        row = self._row("SELECT round, reason, result, message FROM ends ORDER BY id DESC LIMIT 1")
        if row is None:
            return None
        end = self._decoder.end(row)
        return end if end.round >= self.last_round else None

    def summary(self, number: int) -> RoundSummary:
        """The chains and counts of one round."""
        row = self._row(f"{self._round_sql} WHERE round = ?", number)
        if row is None:
            raise JournalError(
                f"there is no round {number}.",
                where=str(self.path),
                expected=f"a round up to {self.last_round}",
                actual=number,
                hint=f"The last round is {self.last_round}; rounds in which nobody moved are not stored.",
            )
        return self._summary(row)

    def summaries(self, first: int = 1) -> Iterator[RoundSummary]:
        """The chains and counts of all rounds from `first` on."""

        def fetch(after: int) -> list[Row]:
            return self._rows(f"{self._round_sql} WHERE round > ? ORDER BY round LIMIT ?", after, PAGE_ROWS)

        return map(self._summary, pages(fetch, first - 1, PAGE_ROWS))

    @property
    def _has_waves(self) -> bool:
        """A file of format 1 has none, until somebody goes on with it."""
        if self._format < FORMAT_OF_WAVES:
            row = self._row("PRAGMA user_version")
            self._format = row[0] if row is not None else 0
        return self._format >= FORMAT_OF_WAVES

    @property
    def _round_sql(self) -> str:
        return _ROUND.format(waves="waves" if self._has_waves else "0")

    def _summary(self, row: Row) -> RoundSummary:
        decoder = self._decoder
        number = decoder.integer(row[0], "a round")
        head = decoder.chain(row[1], f"head of round {number}")
        execution = decoder.chain(row[2], f"execution digest of round {number}")
        first = None if row[3] is None else decoder.integer(row[3], f"first message of round {number}")
        counts = (decoder.integer(count, f"a count of round {number}") for count in row[4:])
        return RoundSummary(number, head, execution, first, *counts)

    def round(self, number: int) -> RoundRecord:
        """One round, complete, equal to what was committed."""
        return self._load([self.summary(number)])[0]

    def waves(self, number: int) -> tuple[WaveRecord, ...]:
        """What models answered together in one round, in order."""
        return self._waves([self.summary(number)]).get(number, ())

    def last_wave(self, model: str) -> WaveRecord | None:
        """The latest wave of a model."""
        if not self._has_waves:
            return None
        row = self._row(f"{_WAVE} WHERE model = ? ORDER BY round DESC, nr DESC LIMIT 1", model)
        return None if row is None else self._decoder.wave(row, self.summary(row[0]).effects)

    def rounds(self, first: int = 1, last: int | None = None) -> Iterator[RoundRecord]:
        """Rounds `first` to `last` (default: all that are committed), one at a time.

        Rounds in which nobody moved do not exist, so the numbers may have gaps.
        """
        together: list[RoundSummary] = []
        rows = 0
        for summary in self.summaries(first):
            if last is not None and summary.round > last:
                break
            together.append(summary)
            rows += 1 + summary.turns + summary.effects + summary.logs + summary.inputs + summary.messages
            if rows >= PAGE_ROWS:
                yield from self._load(together)
                together, rows = [], 0
        if together:
            yield from self._load(together)

    def _load(self, summaries: list[RoundSummary]) -> list[RoundRecord]:
        """Rounds that follow one another, read together, since many are small."""
        decoder = self._decoder
        first, last = summaries[0], summaries[-1]
        start = next((summary.message_first for summary in summaries if summary.message_first is not None), 0)
        count = sum(summary.inputs + summary.messages for summary in summaries)
        rows = self._rows(f"{_MESSAGE} WHERE seq >= ? ORDER BY seq LIMIT ?", start, count)
        decoder.prefetch(rows, 4, 5)
        messages = iter([decoder.message(row) for row in rows])
        sent = {
            summary.round: (tuple(islice(messages, summary.inputs)), tuple(islice(messages, summary.messages)))
            for summary in summaries
        }
        between = f"{_AGENT} WHERE place >= ? AND place < ? ORDER BY place"
        born = self._rows(between, first.agents - first.spawned, last.agents)
        agents = iter([decoder.agent(row) for row in born])
        stops = "SELECT round, 0, nr, place FROM stops WHERE round BETWEEN ? AND ? ORDER BY round, nr"
        stopped = by_turn(self._rows(stops, first.round, last.round))
        own = [message for _, messages in sent.values() for message in messages]
        turns = self._turns(first.round, last.round, own)
        waves = self._waves(summaries)
        records = [
            RoundRecord(
                summary.round,
                tuple(turns.pop(summary.round, ())),
                *sent[summary.round],
                tuple(islice(agents, summary.spawned)),
                decoder.stopped(stopped.pop((summary.round, 0), [])),
                summary.head,
                summary.execution,
                waves.pop(summary.round, ()),
            )
            for summary in summaries
        ]
        if turns or stopped or waves:
            raise damaged(self.path, f"rounds {first.round} to {last.round} hold more than they say")
        for summary, record in zip(summaries, records, strict=True):
            self._check_counts(summary, record)
            if record.waves:
                self._check_waves(record)
        return records

    def _waves(self, summaries: list[RoundSummary]) -> dict[int, tuple[WaveRecord, ...]]:
        """Waves by round, of those that have any."""
        decoder = self._decoder
        effects = {summary.round: summary.effects for summary in summaries if summary.waves}
        if not effects:
            return {}
        rows = self._rows(f"{_WAVE} WHERE round BETWEEN ? AND ? ORDER BY round, nr", min(effects), max(effects))
        decoder.prefetch(rows, 5, 6)
        return {
            round_: tuple([decoder.wave(row, effects.get(round_, 0)) for row in decoder.counted(of, 2)])
            for (round_, _), of in by_turn(rows).items()
        }

    def _check_waves(self, record: RoundRecord) -> None:
        """Waves count from 1; each request is an effect that was asked of the wave's model, and in no other wave."""
        asked = {(turn.place, effect.index): effect.model for turn in record.turns for effect in turn.effects}
        before = 0, ""
        for wave in record.waves:
            if wave.wave < 1 or wave.wave > before[0] + 1 or (wave.wave, wave.model) <= before:
                raise damaged(self.path, f"the waves of round {record.round} do not count on", actual=wave.wave)
            before = wave.wave, wave.model
            for request in wave.requests:
                if asked.pop(request, None) != wave.model:
                    what = f"wave {wave.wave} of round {record.round} holds what {wave.model} was not asked"
                    raise damaged(self.path, what, actual=request)

    def _turns(
        self, first: int, last: int, messages: Iterable[MessageRecord], place: int | None = None
    ) -> dict[int, list[TurnRecord]]:
        """Turns of some rounds, by round, of one place if asked; `messages` are those that they sent."""
        where = "WHERE round BETWEEN ? AND ?" if place is None else "WHERE round BETWEEN ? AND ? AND place = ?"
        at = (first, last) if place is None else (first, last, place)
        turns = self._rows(f"{_TURN} {where} ORDER BY round, place", *at)
        effect_rows = self._rows(f"{_EFFECT} {where} ORDER BY round, place, nr", *at)
        log_rows = self._rows(f"{_LOG} {where} ORDER BY round, place, nr", *at)
        decoder = self._decoder
        decoder.prefetch(turns, 3, 5, 6, 8, 9)
        decoder.prefetch(effect_rows, 5, 6)
        decoder.prefetch(log_rows, 4)
        effects = by_turn(effect_rows)
        logs = by_turn(log_rows)
        records = by_turn(self._rows(f"{_RECORD} {where} ORDER BY round, place, nr", *at))
        sends: dict[tuple[int, int | None], list[MessageRecord]] = {}
        for message in messages:
            sends.setdefault((message.round, message.sender), []).append(message)
        none: list[Row] = []
        by_round: dict[int, list[TurnRecord]] = {}
        for row in turns:
            key = row[0], row[1]
            turn = decoder.turn(
                row,
                sends.pop(key, []) if sends else [],
                effects.pop(key, none) if effects else none,
                logs.pop(key, none) if logs else none,
                records.pop(key, none) if records else none,
            )
            by_round.setdefault(row[0], []).append(turn)
        if sends or effects or logs or records:
            what = "messages, effects, logs or records without their turn"
            raise damaged(self.path, f"rounds {first} to {last} hold {what}")
        return by_round

    def _check_counts(self, summary: RoundSummary, record: RoundRecord) -> None:
        outputs = [turn.output for turn in record.turns if turn.output is not None]
        found = (
            len(record.turns),
            len(record.turns) - len(outputs),
            sum(len(turn.effects) for turn in record.turns),
            sum(len(output.log) for output in outputs),
            sum(len(output.record) for output in outputs),
            len(record.inputs),
            len(record.messages),
            len(record.spawned),
            len(record.stopped),
            len(record.waves),
        )
        wanted = (
            summary.turns,
            summary.failed,
            summary.effects,
            summary.logs,
            summary.records,
            summary.inputs,
            summary.messages,
            summary.spawned,
            summary.stopped,
            summary.waves,
        )
        if found != wanted:
            raise damaged(self.path, f"round {summary.round} does not hold what it says", expected=wanted, actual=found)

    # Across rounds.

    def agents(self, at_round: int | None = None) -> Iterator[AgentRecord]:
        """All agents that had come to be after a round (default: the last), stopped ones too, in order of place."""

        def fetch(after: int) -> list[Row]:
            return self._rows(f"{_AGENT} WHERE place > ? ORDER BY place LIMIT ?", after, PAGE_ROWS)

        for row in pages(fetch, -1, PAGE_ROWS):
            agent = self._decoder.agent(row)
            if at_round is not None and agent.born > at_round:
                return
            yield agent

    def agent(self, name: str) -> AgentRecord:
        """The agent of this name."""
        row = self._row(f"{_AGENT} WHERE name = ?", name)
        if row is None:
            what = f"there is no agent {name!r}."
            raise JournalError(what, where=str(self.path), actual=name, hint="Check the name.")
        return self._decoder.agent(row)

    def stopped(self, at_round: int | None = None) -> frozenset[int]:
        """Places of the agents that were stopped in a round up to this one."""
        rows = self._rows("SELECT place FROM stops WHERE ? IS NULL OR round <= ?", at_round, at_round)
        return frozenset(self._decoder.integer(place, "a stop") for (place,) in rows)

    def turns(self, place: int | None = None, at_round: int | None = None) -> Iterator[tuple[int, TurnRecord]]:
        """Turns with their rounds, of one agent, of one round, or of both, in order."""
        if at_round is not None:
            yield from ((at_round, turn) for turn in self._turns_of(at_round, place))
        elif place is None:
            for record in self.rounds():
                yield from ((record.round, turn) for turn in record.turns)
        else:

            def fetch(after: int) -> list[Row]:
                return self._rows(f"{ROUNDS_OF} AND rounds.round > ? ORDER BY 1 LIMIT ?", place, after, PAGE_ROWS)

            for (number,) in pages(fetch, 0, PAGE_ROWS):
                yield from ((number, turn) for turn in self._turns_of(number, place))

    def _turns_of(self, number: int, place: int | None) -> Iterable[TurnRecord]:
        if place is None:
            return self.round(number).turns
        summary = self.summary(number)
        rows = self._rows(
            f"SELECT * FROM ({_MESSAGE} WHERE seq >= ? ORDER BY seq LIMIT ?) WHERE sender = ? ORDER BY seq",
            summary.message_first or 0,
            summary.inputs + summary.messages,
            place,
        )
        return self._turns(number, number, map(self._decoder.message, rows), place).get(number, [])

    def messages(self, seq_first: int = 0) -> Iterator[MessageRecord]:
        """All messages from a sequence number on, those from outside too."""

        def fetch(after: int) -> list[Row]:
            return self._rows(f"{_MESSAGE} WHERE seq > ? ORDER BY seq LIMIT ?", after, PAGE_ROWS)

        for row in pages(fetch, seq_first - 1, PAGE_ROWS):
            yield self._decoder.message(row)

    def message(self, seq: int) -> MessageRecord:
        """The message with this sequence number."""
        row = self._row(f"{_MESSAGE} WHERE seq = ?", seq)
        if row is None:
            raise damaged(self.path, f"message {seq} is missing")
        return self._decoder.message(row)

    def records(self, name: str | None = None, place: int | None = None) -> Iterator[RecordRow]:
        """What agents recorded, in order of round and place; of one name or one agent if asked."""
        for number, rows in self._by_round(_RECORD, "records"):
            for row in rows:
                if (place is None or row[1] == place) and (name is None or row[3] == name):
                    record = self._decoder.record(row)
                    yield RecordRow(number, self._decoder.integer(row[1], "a place"), record.name, record.value)

    def logs(self, place: int | None = None) -> Iterator[LogRow]:
        """What agents logged, in order of round and place; of one agent if asked."""
        for number, rows in self._by_round(_LOG, "logs"):
            for row in rows:
                if place is None or row[1] == place:
                    log = self._decoder.log(row)
                    yield LogRow(number, self._decoder.integer(row[1], "a place"), log)

    def _by_round(self, select: str, count: str) -> Iterator[tuple[int, list[Row]]]:
        def fetch(after: int) -> list[Row]:
            return self._rows(
                f"SELECT round FROM rounds WHERE round > ? AND {count} > 0 ORDER BY round LIMIT ?", after, PAGE_ROWS
            )

        for (number,) in pages(fetch, 0, PAGE_ROWS):
            yield number, self._rows(f"{select} WHERE round = ? ORDER BY place, nr", number)
