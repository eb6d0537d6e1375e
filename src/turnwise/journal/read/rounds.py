"""Rounds: their chains and counts, and their whole records.

At most one large round is in memory at a time; small ones are read together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import islice
from typing import Final, Literal

from turnwise.core.events import Answer, Input
from turnwise.core.records import (
    ChangeRecord,
    EffectRecord,
    EndRecord,
    MessageRecord,
    RoundRecord,
    TurnRecord,
    WaveRecord,
)
from turnwise.errors import JournalError
from turnwise.journal.file.errors import damaged
from turnwise.journal.file.format import INTEGER_MAX
from turnwise.journal.read.columns import AGENT, CHANGE, EFFECT, END, LOG, RECORD, ROUND, TURN, WAVE
from turnwise.journal.read.decode import Row, by_turn, pages
from turnwise.journal.read.parks import ParkReader
from turnwise.journal.read.query import PAGE_ROWS, Query
from turnwise.journal.read.rows import RoundSummary, RoundTotals

FORMAT_OF_WAVES: Final = 2
"""The first format whose journals hold waves."""

FORMAT_OF_OUTCOMES: Final = 3
"""The first format whose rounds hold outcomes, whose ends hold heads, and whose effects hold tokens."""


class RoundReader:
    """Reads rounds. Raises JournalError where the journal is damaged, and EnvironmentFailure where the disk fails."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._format = 0
        self.parks = ParkReader(query)

    @property
    def last_round(self) -> int:
        """The last round that is committed, 0 if none is."""
        row = self._query.row("SELECT max(round) FROM rounds")
        return 0 if row is None or row[0] is None else self._query.decoder.integer(row[0], "a round")

    @property
    def head(self) -> bytes | None:
        """Head of the last round, None before the first."""
        last = self.last_round
        return self.summary(last).head if last else None

    @property
    def end_record(self) -> EndRecord | None:
        """The end of the run; None while it has not, or has been continued after it had."""
        ends = self.ends()
        return ends[-1] if ends and ends[-1].round >= self.last_round else None

    def ends(self) -> list[EndRecord]:
        """Return all ends in order, those after which the run was continued too."""
        head = "head" if self._has(FORMAT_OF_OUTCOMES) else "NULL"
        return [self._query.decoder.end(row) for row in self._query.rows(f"{END.format(head=head)} ORDER BY id")]

    def summary_before(self, number: int) -> RoundSummary | None:
        """The chains and counts of the last round before this number, None if it is the first."""
        row = self._query.row(f"{self._round_sql} WHERE round < ? ORDER BY round DESC LIMIT 1", number)
        return None if row is None else self._summary(row)

    def summary(self, number: int) -> RoundSummary:
        """The chains and counts of one round."""
        row = self._query.row(f"{self._round_sql} WHERE round = ?", number)
        if row is None:
            raise JournalError(
                f"there is no round {number}.",
                where=str(self._query.path),
                expected=f"a round up to {self.last_round}",
                actual=number,
                hint=f"The last round is {self.last_round}; rounds in which nobody moved are not stored.",
            )
        return self._summary(row)

    def summaries(self, first: int = 1, last: int = INTEGER_MAX) -> Iterator[RoundSummary]:
        """The chains and counts of the rounds from `first` to `last`."""
        select = f"{self._round_sql} WHERE round > ? AND round <= ? ORDER BY round LIMIT ?"

        def fetch(after: int) -> list[Row]:
            return self._query.rows(select, after, last, PAGE_ROWS)

        return map(self._summary, pages(fetch, first - 1, PAGE_ROWS))

    def totals(self, last: int = INTEGER_MAX) -> RoundTotals:
        """Sums over all rounds up to this one, which SQLite makes."""
        names = [field.name for field in fields(RoundTotals)][1:]
        sums = ", ".join([f"coalesce(sum({name}), 0)" for name in names])
        found = self._query.row(f"SELECT count(*), {sums} FROM rounds WHERE round <= ?", last) or ()
        return RoundTotals(*[self._query.decoder.integer(value, "a sum over rounds") for value in found])

    def holding(
        self, what: Literal["failed", "effects", "inputs", "logs", "records"], first: int = 1, last: int = INTEGER_MAX
    ) -> Iterator[int]:
        """Numbers of the rounds from `first` to `last` that hold any of something that is counted."""
        select = f"SELECT round FROM rounds WHERE round > ? AND round <= ? AND {what} > 0 ORDER BY round LIMIT ?"
        for (number,) in pages(lambda after: self._query.rows(select, after, last, PAGE_ROWS), first - 1, PAGE_ROWS):
            yield number

    def links(self) -> Iterator[Row]:
        """Rows of (round, head, outcome, digest of the state, agents spawned in it, all agents so far), as stored."""
        digests = ", ".join(self._outcome_columns)
        select = f"SELECT round, head, {digests}, spawned, agents FROM rounds WHERE round > ? ORDER BY round LIMIT ?"
        return pages(lambda after: self._query.rows(select, after, PAGE_ROWS), 0, PAGE_ROWS)

    def round(self, number: int) -> RoundRecord:
        """Return one round, complete, equal to what was committed."""
        return self._load([self.summary(number)])[0]

    def between(self, first: int = 1, last: int | None = None) -> Iterator[RoundRecord]:
        """Rounds `first` to `last` (default: all that are committed), one at a time.

        Rounds in which nobody moved do not exist, so the numbers may have gaps.
        """
        together: list[RoundSummary] = []
        rows = 0
        for summary in self.summaries(first, INTEGER_MAX if last is None else last):
            together.append(summary)
            rows += 1 + summary.turns + summary.effects + summary.logs + summary.inputs + summary.messages
            if rows >= PAGE_ROWS:
                yield from self._load(together)
                together, rows = [], 0
        if together:
            yield from self._load(together)

    def waves(self, number: int) -> tuple[WaveRecord, ...]:
        """Waves of one round, in order."""
        return self._waves([self.summary(number)]).get(number, ())

    def last_wave(self, model: str) -> WaveRecord | None:
        """The latest wave of a model."""
        if not self._has(FORMAT_OF_WAVES):
            return None
        row = self._query.row(f"{WAVE} WHERE model = ? ORDER BY round DESC, nr DESC LIMIT 1", model)
        return None if row is None else self._query.decoder.wave(row, self.summary(row[0]).effects)

    def turns(
        self, first: int, last: int, messages: Iterable[MessageRecord], place: int | None = None
    ) -> dict[int, list[TurnRecord]]:
        """Turns of some rounds, by round, of one place if asked; `messages` are those that they sent."""
        where = "WHERE round BETWEEN ? AND ?" if place is None else "WHERE round BETWEEN ? AND ? AND place = ?"
        at = (first, last) if place is None else (first, last, place)
        turns = self._query.rows(f"{TURN} {where} ORDER BY round, place", *at)
        effect_rows = self._query.rows(f"{self._effect_sql} {where} ORDER BY round, place, nr", *at)
        log_rows = self._query.rows(f"{LOG} {where} ORDER BY round, place, nr", *at)
        decoder = self._query.decoder
        decoder.prefetch(turns, 3, 5, 6, 8, 9)
        decoder.prefetch(effect_rows, 5, 6, 7)
        decoder.prefetch(log_rows, 4)
        effects = by_turn(effect_rows)
        logs = by_turn(log_rows)
        records = by_turn(self._query.rows(f"{RECORD} {where} ORDER BY round, place, nr", *at))
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
        if effects:
            for key in self.parks.places(first, last):
                effects.pop(key, None)
        if sends or effects or logs or records:
            what = "messages, effects, logs or records without their turn"
            raise damaged(self._query.path, f"rounds {first} to {last} hold {what}")
        return by_round

    def effects(self, number: int, place: int | None = None) -> Iterator[EffectRecord]:
        """Effects of a round, of one place if asked, in order."""
        where, at = ("", (number,)) if place is None else (" AND place = ?", (number, place))
        rows = self._query.rows(f"{self._effect_sql} WHERE round = ?{where} ORDER BY place, nr", *at)
        self._query.decoder.prefetch(rows, 5, 6, 7)
        return map(self._query.decoder.effect, rows)

    def _load(self, summaries: list[RoundSummary]) -> list[RoundRecord]:
        """Rounds that follow one another, read together, since many are small."""
        decoder = self._query.decoder
        if self._query.row("SELECT 1 FROM meta WHERE name = 'kept'") is not None:
            raise JournalError(
                "only the heads of its rounds were kept (turnwise compact --keep head)",
                where=str(self._query.path),
                hint="Take the journal that it was made of, if somebody still has it.",
            )
        first, last = summaries[0], summaries[-1]
        start = next((summary.message_first for summary in summaries if summary.message_first is not None), 0)
        count = sum(summary.inputs + summary.messages for summary in summaries)
        rows = self._query.rows(f"{self._query.messages} WHERE seq >= ? ORDER BY seq LIMIT ?", start, count)
        decoder.prefetch(rows, 4, 5)
        messages = iter([decoder.message(row) for row in rows])
        sent = {
            summary.round: (tuple(islice(messages, summary.inputs)), tuple(islice(messages, summary.messages)))
            for summary in summaries
        }
        between = f"{AGENT} WHERE place >= ? AND place < ? ORDER BY place"
        born = self._query.rows(between, first.agents - first.spawned, last.agents)
        agents = iter([decoder.agent(row) for row in born])
        stops = "SELECT round, 0, nr, place FROM stops WHERE round BETWEEN ? AND ? ORDER BY round, nr"
        stopped = by_turn(self._query.rows(stops, first.round, last.round))
        own = [message for _, messages in sent.values() for message in messages]
        turns = self.turns(first.round, last.round, own)
        waves = self._waves(summaries)
        parks, answers = self.parks.between(first.round, last.round), self.parks.answers(first.round, last.round)
        coming = self.coming(first.round, last.round)
        changes = {
            number: tuple([entry for entry in entries if isinstance(entry, ChangeRecord)])
            for number, entries in coming.items()
        }
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
                summary.outcome,
                changes.pop(summary.round, ()),
                state=summary.state,
                parks=parks.pop(summary.round, ()),
                answers=answers.pop(summary.round, ()),
            )
            for summary in summaries
        ]
        if turns or stopped or waves or parks or answers or any(changes.values()):
            raise damaged(self._query.path, f"rounds {first.round} to {last.round} hold more than they say")
        given = (entry for entries in coming.values() for entry in entries if isinstance(entry, Input))
        self._check_given(list(given), records)
        for summary, record in zip(summaries, records, strict=True):
            self._check_counts(summary, record)
            if record.waves:
                self._check_waves(record)
        return records

    @property
    def changes_any(self) -> bool:
        """True if anything was changed from outside, or was to come from there."""
        if not self._has(FORMAT_OF_OUTCOMES):
            return False
        return self._query.row("SELECT 1 FROM changes LIMIT 1") is not None

    def coming(self, first: int, last: int = INTEGER_MAX) -> dict[int, tuple[ChangeRecord | Input | Answer, ...]]:
        """Read the changes, messages and answers that were to come from outside, by the round that begins with them."""
        if not self._has(FORMAT_OF_OUTCOMES):
            return {}
        rows = self._query.rows(f"{CHANGE} WHERE round BETWEEN ? AND ? ORDER BY round, nr", first, last)
        decoder = self._query.decoder
        decoder.prefetch(rows, 5)
        return {
            round_: tuple([decoder.change(row) for row in decoder.counted(of, 2)])
            for (round_, _), of in by_turn(rows).items()
        }

    def _check_given(self, given: list[Input], records: list[RoundRecord]) -> None:
        """A message that was to come in a round, or before it, is among its inputs, in order."""
        for record in records:
            due = [entry for entry in given if entry.after < record.round]
            given = given[len(due) :]
            inputs = iter([(message.to, message.body) for message in record.inputs])
            if not all((entry.to, entry.body) in inputs for entry in due):
                what = f"round {record.round} lacks what was to come from outside"
                raise damaged(self._query.path, what, expected=due, actual=record.inputs)

    def _waves(self, summaries: list[RoundSummary]) -> dict[int, tuple[WaveRecord, ...]]:
        """Waves by round, of those that have any."""
        decoder = self._query.decoder
        effects = {summary.round: summary.effects for summary in summaries if summary.waves}
        if not effects:
            return {}
        rows = self._query.rows(f"{WAVE} WHERE round BETWEEN ? AND ? ORDER BY round, nr", min(effects), max(effects))
        decoder.prefetch(rows, 5, 6)
        return {
            round_: tuple([decoder.wave(row, effects.get(round_, 0)) for row in decoder.counted(of, 2)])
            for (round_, _), of in by_turn(rows).items()
        }

    def _check_waves(self, record: RoundRecord) -> None:
        """Waves count from 1; each request is an effect that was asked of the wave's model, and in no other wave."""
        asked = {(place, effect.index): effect.model for place, effect in record.effects()}
        before = 0, ""
        for wave in record.waves:
            if wave.wave < 1 or wave.wave > before[0] + 1 or (wave.wave, wave.model) <= before:
                raise damaged(self._query.path, f"the waves of round {record.round} do not count on", actual=wave.wave)
            before = wave.wave, wave.model
            for request in wave.requests:
                if asked.pop(request, None) != wave.model:
                    what = f"wave {wave.wave} of round {record.round} holds what {wave.model} was not asked"
                    raise damaged(self._query.path, what, actual=request)

    def _check_counts(self, summary: RoundSummary, record: RoundRecord) -> None:
        outputs = [turn.output for turn in record.turns if turn.output is not None]
        found = (
            len(record.turns),
            len(record.turns) - len(outputs),
            sum(1 for _ in record.effects()),
            sum(len(output.log) for output in outputs),
            sum(len(output.record) for output in outputs),
            len(record.inputs),
            len(record.messages),
            len(record.spawned),
            len(record.stopped),
            len(record.waves),
            min(sum(of.fuel for of in record.parts), INTEGER_MAX),
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
            summary.fuel,
        )
        if any(agent.born != summary.round for agent in record.spawned):
            raise damaged(self._query.path, f"round {summary.round} holds agents of another round")
        if found != wanted:
            raise damaged(
                self._query.path, f"round {summary.round} does not hold what it says", expected=wanted, actual=found
            )

    def _summary(self, row: Row) -> RoundSummary:
        decoder = self._query.decoder
        number = decoder.integer(row[0], "a round")
        head = decoder.chain(row[1], f"head of round {number}")
        execution = decoder.chain(row[2], f"execution digest of round {number}")
        first = None if row[3] is None else decoder.integer(row[3], f"first message of round {number}")
        counts = [decoder.integer(count, f"a count of round {number}") for count in row[4:-2]]
        outcome = None if row[-2] is None else decoder.chain(row[-2], f"outcome of round {number}")
        state = None if row[-1] is None else decoder.chain(row[-1], f"digest of the state after round {number}")
        return RoundSummary(number, head, execution, outcome, state, first, *counts)

    def _has(self, format_: int) -> bool:
        """Tell whether the file has what came with a format: older files get it when their run is continued."""
        if self._format < format_:
            row = self._query.row("PRAGMA user_version")
            self._format = row[0] if row is not None else 0
        return self._format >= format_

    @property
    def _effect_sql(self) -> str:
        return EFFECT.format(tokens="tokens" if self._has(FORMAT_OF_OUTCOMES) else "NULL")

    @property
    def _round_sql(self) -> str:
        waves = "waves" if self._has(FORMAT_OF_WAVES) else "0"
        outcome, state = self._outcome_columns
        return ROUND.format(waves=waves, outcome=outcome, state=state)

    @property
    def _outcome_columns(self) -> tuple[str, str]:
        return ("outcome", "state") if self._has(FORMAT_OF_OUTCOMES) else ("NULL", "NULL")
