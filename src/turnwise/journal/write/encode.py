"""From the records of the core to rows: everything of a commit that is Python's work.

It is apart from writing because of Python's global lock: a thread that steps through single rows gives the lock away
and waits for it at each, up to 5 ms when another thread computes. So the rows of a round are made in the caller's
thread, and the writer's thread hands SQLite many at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from turnwise.core.canonical import canonical
from turnwise.core.contents import PUT, put_of
from turnwise.core.records import AgentRecord, EffectRecord, EndRecord, RoundRecord, TurnRecord
from turnwise.core.turn import TurnOutput
from turnwise.errors import InvariantError
from turnwise.journal.file.blobs import BlobWriter
from turnwise.journal.file.format import (
    BODY_INLINE_CHARS_MAX,
    INTEGER_MAX,
    STATE_INLINE_CHARS_MAX,
    TEXT_INLINE_CHARS_MAX,
)
from turnwise.journal.file.number_runs import recorded, request_runs, runs
from turnwise.journal.file.snapshot_row import snapshot_row
from turnwise.journal.write.round_commit import RoundCommit
from turnwise.journal.write.times_row import TimesRow, times_row

COLUMNS: Final = {
    "blobs": 4,
    "agents": 8,
    "messages": 7,
    "turns": 12,
    "effects": 8,
    "contents": 4,
    "logs": 5,
    "records": 5,
    "stops": 3,
    "waves": 6,
    "parks": 9,
    "questions": 7,
    "answers": 4,
    "received": 3,
    "rounds": 18,
    "timings": 8,
    "snapshots": 3,
}
"""Columns of the tables that a commit adds to, in the order in which it does."""

VALUE_BYTES: Final = 64
"""Memory that a column takes, about: texts of rows are short."""

Value = str | int | None


@dataclass(frozen=True, slots=True)
class Batch:
    """One round as rows."""

    round: int
    """Number of the round."""
    after: int
    """Round that was encoded before; rounds in which nobody moved are not committed."""
    generation: int
    """Encoder state that the rows need."""
    rows: dict[str, list[object]]
    """Columns of each table, one after the other."""
    size_bytes: int
    """About how much memory the rows take."""
    end: list[object] | None = None
    """Columns of the end that came with the round, if one did."""
    times: TimesRow | None = None
    """Times, to be written once the commit is over."""
    over: tuple[tuple[str, tuple[object, ...]], ...] = ()
    """Statements that take out what was written ahead and is in the round now."""


class Encoder:
    """Turns records into rows, in the order of rounds. Knows what the journal will hold when all are written."""

    def __init__(self, path: Path, blobs: BlobWriter) -> None:
        self._path = path
        self._blobs = blobs
        self.generation = 0
        self.round = 0
        self.agents = 0
        self.seq_last = -1

    def restart(self, *, round_last: int, agents: int, seq_last: int) -> None:
        """Go back to what is committed. Batches that were encoded before can no longer be written."""
        self.generation += 1
        self.round = round_last
        self.agents = agents
        self.seq_last = seq_last

    def batch(self, commit: RoundCommit) -> Batch:
        """The rows of one round, and of what goes along with it.

        Raises InvariantError if the round does not follow what was encoded before.
        """
        record, end, received = commit.record, commit.end, commit.received
        self._check(record)
        before = self.agents, self.seq_last
        try:
            rows = self._rows(record)
            ending = None if end is None else self.end_row(end)
        except BaseException as error:
            self.agents, self.seq_last = before
            if isinstance(error, UnicodeEncodeError):
                what = f"a text of round {record.round} cannot be written as UTF-8: {error}"
                raise InvariantError(what, where=str(self._path)) from error
            raise
        if received is not None:
            rows["received"] = [record.round, received.box, received.position]
        if commit.snapshot is not None:
            rows["snapshots"] = snapshot_row(commit.snapshot)
        rows = {"blobs": self._blobs.take(), **rows}
        size = sum(map(len, rows.values())) * VALUE_BYTES
        if rows["blobs"]:
            size += sum(map(len, rows["blobs"][3 :: COLUMNS["blobs"]]))  # type: ignore[arg-type]
        after, self.round = self.round, record.round
        clocks = None if commit.times is None else times_row(commit.times)
        over = tuple(_over(record))
        return Batch(record.round, after, self.generation, rows, size, ending, clocks, over)

    def _check(self, record: RoundRecord) -> None:
        if record.round <= self.round:
            raise self._broken("a round is committed out of order", f"later than {self.round}", record.round)
        for value in (record.head, record.execution, record.outcome, record.state):
            if value is not None and len(value) != 32:
                raise self._broken(f"a chain value of round {record.round} has a wrong length", 32, len(value))

    def _rows(self, record: RoundRecord) -> dict[str, list[object]]:
        """Rows of all that a round's record holds, by table."""
        agents = self.agent_rows(record.spawned, record.round)
        messages = self._message_rows(record)
        turns, effects, logs, records, failed, fuel = self._turn_rows(record)
        contents = self._content_rows(record)
        waves = self._wave_rows(record)
        parks, questions = self._park_rows(record, effects)
        answers: list[object] = []
        for nr, answer in enumerate(record.answers):
            answers += (record.round, nr, answer.question, self._text(answer.reply))
        first = record.inputs[0].seq if record.inputs else record.messages[0].seq if record.messages else None
        return {
            "agents": agents,
            "messages": messages,
            "turns": turns,
            "effects": effects,
            "contents": contents,
            "logs": logs,
            "records": records,
            "stops": [x for nr, place in enumerate(record.stopped) for x in (record.round, nr, place)],
            "waves": waves,
            "parks": parks,
            "questions": questions,
            "answers": answers,
            "rounds": [
                record.round,
                record.head,
                record.execution,
                first,
                len(record.turns),
                failed,
                len(effects) // COLUMNS["effects"],
                len(logs) // COLUMNS["logs"],
                len(records) // COLUMNS["records"],
                len(record.inputs),
                len(record.messages),
                len(record.spawned),
                self.agents,
                len(record.stopped),
                min(fuel + sum(park.fuel for park in record.parks), INTEGER_MAX),
                len(record.waves),
                record.outcome,
                record.state,
            ],
        }

    def _content_rows(self, record: RoundRecord) -> list[object]:
        """Contents that turns have put, each as the number of its blob. What a failed turn put is in no row."""
        rows: list[object] = []
        for turn in record.turns:
            if turn.effects and turn.output is not None:
                for effect in turn.effects:
                    if effect.kind == PUT and put_of(effect.request, effect.reply) is not None:
                        if effect.content is None:
                            raise self._broken(f"a content of round {record.round} is not there", effect.request, None)
                        rows += (record.round, turn.place, effect.index, self._blobs.number(effect.content))
        return rows

    def _wave_rows(self, record: RoundRecord) -> list[object]:
        rows: list[object] = []
        for nr, wave in enumerate(record.waves):
            requests = self._text(request_runs(wave.requests))
            rows += (record.round, nr, wave.wave, wave.model, requests, self.value(wave.plan))
        return rows

    def _park_rows(self, record: RoundRecord, effects: list[object]) -> tuple[list[object], list[object]]:
        """Rows of turns that wait, and of their questions; their effects are put behind those of other turns."""
        parks: list[object] = []
        questions: list[object] = []
        if not record.parks:
            return parks, questions
        moved = {turn.place for turn in record.turns}
        for park in record.parks:
            if park.place in moved:
                raise self._broken(f"place {park.place} both moves and waits in round {record.round}", 1, 2)
            inbox = self._text(runs(park.inbox)) if park.inbox else None
            calls = self._text(canonical(park.calls))
            parks += (record.round, park.place, park.turn, inbox, park.backlog, calls, park.spent_bytes)
            parks += (park.fuel, park.executions)
            effects += self._effect_rows(record.round, park.place, park.effects)
            for asked in park.questions:
                questions += (asked.id, record.round, park.place, asked.index, asked.kind, self._text(asked.request))
                questions.append(asked.deadline)
        return parks, questions

    def _effect_rows(self, round_: int, place: int, effects: Iterable[EffectRecord]) -> list[object]:
        rows: list[object] = []
        for effect in effects:
            rows += (round_, place, effect.index, effect.kind, effect.model)
            rows += (self._text(effect.request), self._text(effect.reply))
            rows.append(None if effect.tokens is None else self._text(canonical(effect.tokens)))
        return rows

    def agent_rows(self, agents: Iterable[AgentRecord], born: int) -> list[object]:
        """Rows of agents that come to be in round `born`. Places count on from those that are there."""
        rows: list[object] = []
        grants: dict[tuple[str, ...], Value] = {(): None}
        for agent in agents:
            if agent.grants not in grants:
                grants[agent.grants] = self.value(canonical(list(agent.grants)))
            if agent.place != self.agents or agent.born != born:
                raise self._broken(
                    f"the agent {agent.name} has a wrong place or round", (self.agents, born), (agent.place, agent.born)
                )
            self.agents += 1
            rows += (
                agent.place,
                agent.name,
                agent.kind,
                self.value(agent.args),
                self.value(agent.state),
                agent.born,
                agent.parent,
                grants[agent.grants],
            )
        return rows

    def end_row(self, end: EndRecord) -> list[object]:
        """Columns of `ends` without its id."""
        result = None if end.result is None else self.value(end.result)
        return [end.round, end.reason, result, None if end.message is None else self.value(end.message), end.head]

    def value(self, text: str) -> Value:
        """A text as a value that is likely to come again."""
        return text if len(text) <= STATE_INLINE_CHARS_MAX else self._blobs.number(text.encode())

    def _text(self, text: str) -> Value:
        return text if len(text) <= TEXT_INLINE_CHARS_MAX else self._blobs.number(text.encode())

    def _message_rows(self, record: RoundRecord) -> list[object]:
        rows: list[object] = []
        seq_last = self.seq_last
        recipients: tuple[int, ...] = ()
        packed: Value = None
        body_max = BODY_INLINE_CHARS_MAX
        for message in (*record.inputs, *record.messages):
            seq = message.seq
            if seq <= seq_last:
                raise self._broken(f"messages of round {record.round} are out of order", seq_last + 1, seq)
            seq_last = seq
            if message.recipients != recipients:
                recipients = message.recipients
                if len(recipients) == 1:
                    packed = f"[[{recipients[0]},{recipients[0]}]]"
                else:
                    packed = self._text(runs(recipients)) if recipients else None
            body = message.body
            rows += (
                seq,
                message.round,
                message.sender,
                message.to,
                body if len(body) <= body_max else self._blobs.number(body.encode()),
                packed,
                message.attach,
            )
        self.seq_last = seq_last
        return rows

    def _turn_rows(
        self, record: RoundRecord
    ) -> tuple[list[object], list[object], list[object], list[object], int, int]:
        turns: list[object] = []
        effects: list[object] = []
        logs: list[object] = []
        records: list[object] = []
        failed = fuel = 0
        state_max = STATE_INLINE_CHARS_MAX
        place_last = -1
        sent = 0
        round_now = record.round
        for turn in record.turns:
            place = turn.place
            if place <= place_last:
                raise self._broken(f"turns of round {round_now} are out of order", place_last + 1, place)
            place_last = place
            fuel += turn.fuel
            inbox = turn.inbox
            packed: Value = None
            if inbox:
                packed = f"[[{inbox[0]},{inbox[0]}]]" if len(inbox) == 1 else self._text(runs(inbox))
            stdout = self.value(turn.stdout) if turn.stdout else None
            output = turn.output
            if output is not None and turn.failure is None:
                state = output.state
                if output.send:
                    sent = self._check_sent(record, sent, turn, output)
                if output.log:
                    for nr, log in enumerate(output.log):
                        logs += (round_now, place, nr, log.level, self._text(log.text))
                if output.record:
                    for nr, entry in enumerate(output.record):
                        records += (round_now, place, nr, entry.name, recorded(entry.value))
                turns += (
                    round_now,
                    place,
                    turn.turn,
                    packed,
                    None,
                    None,
                    state if len(state) <= state_max else self._blobs.number(state.encode()),
                    output.wake_in,
                    self._extra(output) if output.spawn or output.stop or output.finish is not None else None,
                    stdout,
                    turn.fuel,
                    turn.executions,
                )
            elif output is None and turn.failure is not None:
                failed += 1
                failure = turn.failure
                turns += (round_now, place, turn.turn, packed, failure.kind.value, self.value(failure.message))
                turns += (None, None, None, stdout, turn.fuel, turn.executions)
            else:
                raise self._broken(f"the turn of place {place} in round {round_now} has neither or both ends", 1, 0)
            if turn.effects:
                effects += self._effect_rows(round_now, place, turn.effects)
        if sent != len(record.messages):
            raise self._broken(f"round {round_now} holds messages that no turn sent", sent, len(record.messages))
        return turns, effects, logs, records, failed, fuel

    def _check_sent(self, record: RoundRecord, sent: int, turn: TurnRecord, output: TurnOutput) -> int:
        """Compare what a turn sends with its messages, since only these are stored; return how many are taken."""
        place, messages, round_now = turn.place, record.messages, record.round
        for send in output.send:
            message = messages[sent] if sent < len(messages) else None
            if (
                message is None
                or message.sender != place
                or (message.to, message.body, message.attach) != (send.to, send.body, send.attach)
            ):
                raise self._broken(f"a message of place {place} is not among those of its round", send, message)
            if message.round != round_now:
                raise self._broken(f"a message of place {place} has a wrong round", round_now, message.round)
            sent += 1
        return sent

    def _extra(self, output: TurnOutput) -> Value:
        """JSON text of the members of an output that few turns have."""
        extra: dict[str, object] = {}
        if output.spawn:
            extra["spawn"] = [[spawn.kind, spawn.name, spawn.args, spawn.state] for spawn in output.spawn]
        if output.stop:
            extra["stop"] = list(output.stop)
        if output.finish is not None:
            extra["finish"] = output.finish
        return self.value(canonical(extra))

    def _broken(self, what: str, expected: object, actual: object) -> InvariantError:
        return InvariantError(what, where=str(self._path), expected=expected, actual=actual)


def _over(record: RoundRecord) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield the statements that take out what was written ahead of a round."""
    for turn in record.turns:
        if turn.effects:
            yield "DELETE FROM main.ahead WHERE place = ? AND turn <= ?", (turn.place, turn.turn)
    for park in record.parks:
        for effect in park.effects:
            yield (
                "DELETE FROM main.ahead WHERE place = ? AND turn = ? AND nr = ?",
                (park.place, park.turn, effect.index),
            )
    for place in record.stopped:
        yield "DELETE FROM main.ahead WHERE place = ?", (place,)
