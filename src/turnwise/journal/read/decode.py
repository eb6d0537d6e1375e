"""From rows back to the records of the core. A journal that is opened is untrusted: every column is checked.

Whatever cannot be what `encode` wrote raises JournalError that says "damaged", and where.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, get_args

from turnwise.core.events import Answer, Input
from turnwise.core.records import (
    AgentRecord,
    ChangeKind,
    ChangeRecord,
    EffectRecord,
    EndRecord,
    MessageRecord,
    TurnRecord,
    WaveRecord,
)
from turnwise.core.turn import LOG_LEVELS, Failure, FailureClass, Log, Record, Send, Spawn, TurnOutput
from turnwise.core.withheld import Withheld, WithheldTokens, from_member
from turnwise.errors import JournalError
from turnwise.journal.file.blobs import BlobReader
from turnwise.journal.file.errors import damaged, reading
from turnwise.journal.file.number_runs import numbers, recalled, requests_of
from turnwise.journal.file.stored_json import stored_json

Row = tuple[Any, ...]

_FAILURES: Final = {kind.value: kind for kind in FailureClass}
_END_REASONS: Final = ("finished", "quiet", "rounds_max", "failed")


class RowDecoder:
    """Turns rows into records. Holds what bounds a list of numbers: how many agents and messages there are."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path
        self.blobs = BlobReader(connection, path)
        self._counts = {"agents": 0, "messages": 0}

    def damaged(self, what: str, actual: object = None) -> JournalError:
        return damaged(self.path, what, actual=actual)

    def prefetch(self, rows: list[Row], *columns: int) -> None:
        """Read the blobs that these columns name, before each is asked for by itself."""
        if rows:
            self.blobs.prefetch([row[column] for column in columns for row in rows if type(row[column]) is int])

    # Single columns.

    def integer(self, column: object, what: str) -> int:
        if type(column) is not int or column < 0:
            raise self.damaged(f"{what} is not a number from 0", column)
        return column

    def text(self, column: object, what: str) -> str:
        """A column that is always TEXT."""
        if type(column) is not str:
            raise self.damaged(f"{what} is not a text", column)
        return column

    def value(self, column: object, what: str) -> str:
        """A value: a text in place, or the number of a blob."""
        if type(column) is str:
            return column
        if type(column) is int:
            return self.blobs.text(column)
        raise self.damaged(f"{what} is neither a text nor a blob's number", column)

    def chain(self, column: object, what: str) -> bytes:
        if type(column) is not bytes or len(column) != 32:
            raise self.damaged(f"{what} is not a SHA-256", column)
        return column

    def numbers(self, column: object, table: str, what: str) -> tuple[int, ...]:
        """A list of places (`table` is agents) or sequence numbers (messages). NULL is the empty list."""
        if column is None:
            return ()
        text = self.value(column, what)
        try:
            return numbers(text, count_max=self._counts[table])
        except ValueError:
            with reading(self.path):  # others may have written meanwhile: count what is there now
                self._counts[table] = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        try:
            return numbers(text, count_max=self._counts[table])
        except ValueError as error:
            raise self.damaged(f"{what} is not a list of numbers: {error}") from error

    def json(self, column: object, what: str) -> Any:
        return stored_json(self.value(column, what), what, self.path)

    def counted(self, rows: list[Row], column: int) -> list[Row]:
        """The rows, whose column must count from 0."""
        if [row[column] for row in rows] != list(range(len(rows))):
            raise self.damaged(f"the rows {rows[0][:column]} … are not numbered from 0")
        return rows

    # Rows.

    def agent(self, row: Row) -> AgentRecord:
        """place, name, kind, args, state, born, parent, grants"""
        place = self.integer(row[0], "an agent's place")
        what = f"of agent {place}"
        grants: object = [] if row[7] is None else self.json(row[7], f"grants {what}")
        if not isinstance(grants, list) or not all(type(grant) is str for grant in grants):
            raise self.damaged(f"grants {what} are not a list of texts")
        return AgentRecord(
            place,
            self.text(row[1], f"name {what}"),
            self.text(row[2], f"kind {what}"),
            self.value(row[3], f"args {what}"),
            self.value(row[4], f"state {what}"),
            self.integer(row[5], f"born {what}"),
            None if row[6] is None else self.integer(row[6], f"parent {what}"),
            tuple(grants),
        )

    def message(self, row: Row) -> MessageRecord:
        """seq, round, sender, receiver, body, recipients, attach"""
        seq = self.integer(row[0], "a message's seq")
        what = f"of message {seq}"
        return MessageRecord(
            seq,
            self.integer(row[1], f"round {what}"),
            None if row[2] is None else self.integer(row[2], f"sender {what}"),
            self.text(row[3], f"receiver {what}"),
            self.value(row[4], f"body {what}"),
            self.numbers(row[5], "agents", f"recipients {what}"),
            None if row[6] is None else self.text(row[6], f"attach {what}"),
        )

    def effect(self, row: Row) -> EffectRecord:
        """round, place, nr, kind, model, request, reply, tokens"""
        what = f"of an effect of place {row[1]} in round {row[0]}"
        return EffectRecord(
            self.integer(row[2], f"nr {what}"),
            self.text(row[3], f"kind {what}"),
            None if row[4] is None else self.text(row[4], f"model {what}"),
            self.value(row[5], f"request {what}"),
            self.value(row[6], f"reply {what}"),
            None if row[7] is None else self._tokens(row[7], f"tokens {what}"),
        )

    def _tokens(self, column: object, what: str) -> tuple[int, ...]:
        text = self.value(column, what)
        if type(text) is Withheld:
            return WithheldTokens(text.digest)
        tokens = stored_json(text, what, self.path)
        if not isinstance(tokens, list) or not all(type(token) is int and token >= 0 for token in tokens):
            raise self.damaged(f"{what} are not a list of ids")
        return tuple(tokens)

    def log(self, row: Row) -> Log:
        """round, place, nr, level, text"""
        what = f"of a log of place {row[1]} in round {row[0]}"
        for level in LOG_LEVELS:
            if level == row[3]:
                return Log(level, self.value(row[4], f"text {what}"))
        raise self.damaged(f"level {what} is unknown", row[3])

    def record(self, row: Row) -> Record:
        """round, place, nr, name, value"""
        what = f"of a record of place {row[1]} in round {row[0]}"
        name = self.text(row[3], f"name {what}")
        try:
            return Record(name, recalled(row[4]))
        except ValueError as error:
            raise self.damaged(f"value {what} is {error}") from error

    def turn(
        self, row: Row, sends: list[MessageRecord], effects: list[Row], logs: list[Row], records: list[Row]
    ) -> TurnRecord:
        """round, place, turn, inbox, failure, message, state, wake_in, extra, stdout, fuel, executions"""
        _, place, count, inbox, failure, message, state, wake_in, extra, stdout, fuel, executions = row
        if type(place) is not int or type(count) is not int or type(fuel) is not int or type(executions) is not int:
            raise self.damaged(f"a turn of round {row[0]} has a column of a wrong type", row)
        what = f"of the turn of place {place} in round {row[0]}"
        output = failed = None
        if failure is None:
            if message is not None:
                raise self.damaged(f"there is a message {what}, which did not fail", message)
            output = TurnOutput(
                state if type(state) is str else self.value(state, f"state {what}"),
                tuple([Send(sent.to, sent.body, sent.attach) for sent in sends]) if sends else (),
                tuple(map(self.log, self.counted(logs, 2))) if logs else (),
                tuple(map(self.record, self.counted(records, 2))) if records else (),
                None if wake_in is None else self.integer(wake_in, f"wake_in {what}"),
                *(((), (), None) if extra is None else self._extra(extra, what)),
            )
        else:
            if sends or logs or records or state is not None or wake_in is not None or extra is not None:
                raise self.damaged(f"the output {what}, which failed, is not empty")
            kind = _FAILURES.get(self.text(failure, f"failure {what}"))
            if kind is None:
                raise self.damaged(f"failure {what} is unknown", failure)
            failed = Failure(kind, self.value(message, f"message {what}"))
        return TurnRecord(
            place,
            count,
            () if inbox is None else self.numbers(inbox, "messages", f"inbox {what}"),
            output,
            failed,
            tuple(map(self.effect, effects)) if effects else (),
            "" if stdout is None else self.value(stdout, f"stdout {what}"),
            fuel,
            executions,
        )

    def _extra(self, column: object, what: str) -> tuple[tuple[Spawn, ...], tuple[str, ...], str | None]:
        extra = self.json(column, f"extra {what}")
        if not isinstance(extra, dict) or not extra.keys() <= {"spawn", "stop", "finish"}:
            raise self.damaged(f"extra {what} has unknown members")
        spawns = extra.get("spawn", [])
        stops = extra.get("stop", [])
        finish = from_member(extra.get("finish"))
        if not isinstance(spawns, list) or not all(map(_is_spawn, spawns)):
            raise self.damaged(f"extra {what}: spawn is not a list of kind, name, args, state")
        if not isinstance(stops, list) or not all(type(stop) is str for stop in stops):
            raise self.damaged(f"extra {what}: stop is not a list of texts")
        if finish is None and extra.get("finish") is not None:
            raise self.damaged(f"extra {what}: finish is not a text")
        made = [Spawn(kind, name, from_member(args), from_member(state)) for kind, name, args, state in spawns]
        return tuple(made), tuple(stops), finish

    def stopped(self, rows: list[Row]) -> tuple[int, ...]:
        """round, 0, nr, place"""
        return tuple([self.integer(row[3], f"a stop of round {row[0]}") for row in self.counted(rows, 2)])

    def wave(self, row: Row, effects: int) -> WaveRecord:
        """round, 0, nr, wave, model, requests, plan; the round has so many effects"""
        what = f"of a wave of round {row[0]}"
        text = self.value(row[5], f"requests {what}")
        try:
            requests = requests_of(text, count_max=effects)
        except ValueError as error:
            raise self.damaged(f"requests {what} are not a list of effects: {error}") from error
        return WaveRecord(
            self.integer(row[3], f"number {what}"),
            self.text(row[4], f"model {what}"),
            requests,
            self.value(row[6], f"plan {what}"),
        )

    def change(self, row: Row) -> ChangeRecord | Input | Answer:
        """round, 0, nr, what, target, value"""
        what = f"of a change of round {row[0]}"
        text = None if row[5] is None else self.value(row[5], f"value {what}")
        if row[3] == "message":
            after = self.integer(row[0], f"round {what}") - 1
            return Input(self.text(row[4], f"target {what}"), text or "", after)
        target = None if row[4] is None else self.integer(row[4], f"target {what}")
        if row[3] == "answer":
            given = {} if text is None else stored_json(text, f"value {what}", self.path)
            if not isinstance(given, dict) or target is None or type(given.get("asked")) is not str:
                raise self.damaged(f"value {what} is no answer", given)
            reply = from_member(given.get("reply"))
            if reply is None:
                raise self.damaged(f"value {what} has no reply", given)
            return Answer(target, reply, self.integer(row[0], f"round {what}") - 1, given["asked"])
        for kind in get_args(ChangeKind):
            if kind == row[3]:
                return ChangeRecord(kind, target, text)
        raise self.damaged(f"the kind {what} is unknown", row[3])

    def end(self, row: Row) -> EndRecord:
        """round, reason, result, message, head"""
        for reason in _END_REASONS:
            if reason == row[1]:
                return EndRecord(
                    reason,
                    self.integer(row[0], "round of the end"),
                    None if row[2] is None else self.value(row[2], "result of the end"),
                    None if row[3] is None else self.value(row[3], "message of the end"),
                    None if row[4] is None else self.chain(row[4], "head of the end"),
                )
        raise self.damaged("the reason of the end is unknown", row[1])


def _is_spawn(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 4:
        return False
    kind, name, args, state = value
    return type(kind) is type(name) is str and all(
        text is None or from_member(text) is not None for text in (args, state)
    )


def by_turn(rows: Iterable[Row]) -> dict[tuple[int, int], list[Row]]:
    """Rows grouped by their first two columns, round and place, in order."""
    groups: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        key = row[0], row[1]
        group = groups.get(key)
        if group is None:
            groups[key] = [row]
        else:
            group.append(row)
    return groups


def pages(fetch: Callable[[int], list[Row]], after: int, size: int) -> Iterator[Row]:
    """Yield all rows, a page at a time, so that no read transaction stays open between pages.

    `fetch(after)` returns at most `size` rows whose first column is above `after`, in its order.
    """
    while True:
        rows = fetch(after)
        yield from rows
        if len(rows) < size:
            return
        after = rows[-1][0]
