"""The second half of writing: rows of whole rounds into the file, each round in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from turnwise.core.canonical import canonical
from turnwise.core.records import ChangeRecord, EndRecord, RoundRecord
from turnwise.core.snapshot import Snapshot
from turnwise.errors import InvariantError
from turnwise.journal.file.ahead_row import AheadRow
from turnwise.journal.file.blobs import LARGE_BYTES_MIN, BlobWriter
from turnwise.journal.file.box_position import BoxPosition
from turnwise.journal.file.errors import translated
from turnwise.journal.file.format import FORMAT
from turnwise.journal.file.lineage import parent_of
from turnwise.journal.file.parent import Parent
from turnwise.journal.file.schema import OPTIONAL
from turnwise.journal.file.times import RoundTimes
from turnwise.journal.write.encode import COLUMNS, Batch, Encoder
from turnwise.journal.write.round_commit import RoundCommit
from turnwise.system.clock import SYSTEM_CLOCK, Clock

ROWS_MAX: Final = 1_000
"""Rows that SQLite is handed in one statement; fewer if its limit of variables is small."""


_NO_PARENT: Final = Parent("", bytes(32), 0, 0, 0, 0, 0)

_AHEAD: Final = (
    "INSERT INTO main.ahead VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (place, turn, nr, stage) DO UPDATE SET "
    "made = max(made, excluded.made), parked = max(parked, excluded.parked), "
    "outcome = coalesce(outcome, excluded.outcome), tokens = coalesce(tokens, excluded.tokens)"
)

_ENDS: Final = "ends", ("round", "reason", "result", "message", "head")


class RoundWriter:
    """Writes rounds, ends and later writers through one connection, which stays the caller's to close.

    One thread may encode while another writes.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self.path = path
        self._clock = clock
        self._connection = connection
        self._blobs = BlobWriter(path)
        self._encoder = Encoder(path, self._blobs)
        self._committed = 0
        self._failure: BaseException | None = None
        self._statements: dict[tuple[str, int], str] = {}
        self._variables_max = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        self._times: list[object] = []
        self._optional: set[str] = set()
        self._is_ahead = False
        self._restart()

    def _restart(self) -> None:
        """Set what the writer knows to what is committed."""
        connection = self._connection
        try:
            parent = parent_of(connection, self.path) or _NO_PARENT
            self._blobs.restart(connection, parent.blobs)
            round_last = _highest(connection, "rounds", "round", parent.round)
            agents = _highest(connection, "agents", "place", parent.agents - 1) + 1
            seq_last = _highest(connection, "messages", "seq", parent.messages - 1)
            self._is_ahead = connection.execute("SELECT 1 FROM main.ahead LIMIT 1").fetchone() is not None
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise translated(error, self.path, writing=False) from error
        self._committed = round_last
        self._optional = tables & OPTIONAL[FORMAT].keys()
        self._encoder.restart(round_last=round_last, agents=agents, seq_last=seq_last)
        self._failure = None

    def commit(
        self,
        record: RoundRecord,
        end: EndRecord | None = None,
        times: RoundTimes | None = None,
        snapshot: Snapshot | None = None,
        received: BoxPosition | None = None,
    ) -> None:
        """Write one round, with the end if it brought one about, in one transaction; it is on disk when this returns.

        Raises EnvironmentFailure if the disk is full or fails: nothing of the round is kept then, everything before it
        is, and the same round can be committed again.
        """
        self._restart_if_failed()
        self.write(self.encode(RoundCommit(record, end, times, snapshot, received)))

    def encode(self, commit: RoundCommit) -> Batch:
        """The first half of `commit`: rows of a round that follows the last one encoded. Needs no disk.

        Raises the failure of a write again until `commit`, `end` or `resumed` is called: whoever encodes ahead may not
        have been told yet, and this round would be taken for the one that follows the last committed.
        """
        if self._failure is not None:
            raise self._failure
        return self._encoder.batch(commit)

    def write(self, *batches: Batch) -> None:
        """The second half of `commit`, for rounds that follow each other, which come to the disk together.

        May run in another thread than `encode`, one call at a time, in order.
        """
        after = self._committed
        for batch in batches:
            if batch.generation != self._encoder.generation or batch.after != after:
                where = str(self.path)
                raise InvariantError("a round is written out of order", where=where, expected=after, actual=batch.after)
            if batch.end is not None and batch is not batches[-1]:
                raise InvariantError("a round is written after the last", where=str(self.path), actual=batch.round)
            after = batch.round
        last = batches[-1]
        rows = last.rows if len(batches) == 1 else _together(batches)
        started_us, zero_ns = self._clock.wall_us(), self._clock.elapsed_ns()
        over = [statement for batch in batches for statement in batch.over] if self._is_ahead else []
        self._transaction(self._connection, rows, None if last.end is None else (_insertion(*_ENDS), last.end), over)
        took_us = (self._clock.elapsed_ns() - zero_ns) // 1_000
        if "timings" in self._optional:
            for batch in batches:
                if batch.times is not None:
                    self._times += batch.times.columns(started_us, took_us)
        self._committed = after

    def end(self, record: EndRecord) -> None:
        """Note how the run ended. A run that is continued and ends again is noted again; the latest counts."""
        self._restart_if_failed()
        self._append(*_ENDS, self._encoder.end_row(record))

    def write_ahead(self, rows: Sequence[AheadRow]) -> None:
        """Write what is known of effects before their rounds are committed; it is on disk when this returns.

        Comes behind all rounds that were handed over before. Raises what `commit` does, also of one that failed before.
        """
        if self._failure is not None:
            raise self._failure
        self._is_ahead = True
        inserts = []
        for row in rows:
            tokens = None if row.tokens is None else canonical(row.tokens)
            inserts.append((_AHEAD, (*row.key, row.request, int(row.is_made), int(row.is_parked), row.outcome, tokens)))
        self._transaction(self._connection, {}, None, inserts)

    def will_change(self, round_: int, change: ChangeRecord) -> None:
        """Note a change from outside with which a round to come begins, after those that it begins with already."""
        self._restart_if_failed()
        row = self._connection.execute("SELECT max(nr) FROM main.changes WHERE round = ?", (round_,)).fetchone()
        nr = 0 if row[0] is None else row[0] + 1
        text = None if change.text is None else self._encoder.value(change.text)
        values: list[object] = [round_, nr, change.what, change.target, text]
        self._append("changes", ("round", "nr", "what", "target", "value"), values)

    def keep_times(self) -> None:
        """Write the times of the latest commit, which the next one would have taken along."""
        if self._times:
            self._transaction(self._connection, {})

    def resumed(self, *, versions: str, info: str) -> None:
        """Note that another process goes on writing, with its versions and where it finds things (JSON texts)."""
        self._restart_if_failed()
        value = self._encoder.value
        self._append("writers", ("round", "versions", "info"), [self._committed, value(versions), value(info)])

    def _restart_if_failed(self) -> None:
        """Called where the caller has been told of every failure before, since it waited for every write."""
        if self._failure is not None:
            self._restart()

    def _append(self, table: str, columns: tuple[str, ...], values: list[object]) -> None:
        insert = _insertion(table, columns)
        self._transaction(self._connection, {"blobs": self._blobs.take()}, (insert, values))

    def _transaction(
        self,
        connection: sqlite3.Connection,
        rows: dict[str, list[object]],
        last: tuple[str, list[object]] | None = None,
        others: Iterable[tuple[str, tuple[object, ...]]] = (),
    ) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for table, flat in rows.items():
                if flat and (table not in OPTIONAL[FORMAT] or table in self._optional):
                    self._insert(connection, table, _without_large(connection, flat) if table == "blobs" else flat)
            if self._times:
                self._insert(connection, "timings", self._times)
            for statement, values in others:
                connection.execute(statement, values)
            if last is not None:
                connection.execute(*last)
            connection.execute("COMMIT")
            self._times = []
        except BaseException as error:
            self._failure = failure = self._told(error)
            self._encoder.generation += 1  # what has been encoded after this batch cannot follow it any more
            if connection.in_transaction:
                with suppress(sqlite3.Error):  # then SQLite takes it back when the file is opened next
                    connection.execute("ROLLBACK")
            if failure is error:
                raise
            raise failure from error

    def _told(self, error: BaseException) -> BaseException:
        """The exception by which the caller hears of an error."""
        if isinstance(error, sqlite3.Error):
            return translated(error, self.path, writing=True, kept=self._committed)
        if isinstance(error, (UnicodeEncodeError, OverflowError)):
            return InvariantError(f"a value cannot be stored: {error}", where=str(self.path))
        return error

    def _insert(self, connection: sqlite3.Connection, table: str, flat: list[object]) -> None:
        """Insert rows given as one flat list, many in each statement: see `encode` for why."""
        columns = COLUMNS[table]
        step = columns * min(ROWS_MAX, self._variables_max // columns)
        for start in range(0, len(flat), step):
            part = flat[start : start + step] if len(flat) > step else flat
            connection.execute(self._statement(table, len(part) // columns), part)

    def _statement(self, table: str, rows: int) -> str:
        known = self._statements.get((table, rows))
        if known is not None:
            return known
        row = "(" + ",".join("?" * COLUMNS[table]) + ")"
        # What lies in such a table of a round to come is not ours.
        verb = "INSERT OR REPLACE" if table in OPTIONAL[FORMAT] else "INSERT"
        statement = f"{verb} INTO {table} VALUES {','.join([row] * rows)}"
        if len(self._statements) >= 64:
            self._statements.clear()
        self._statements[table, rows] = statement
        return statement


def _without_large(connection: sqlite3.Connection, flat: list[object]) -> list[object]:
    """Insert the large contents among rows of `blobs`, and return the other rows.

    What is handed to SQLite as a value it copies twice; into a row that is there already it copies page by page.
    """
    data: Sequence[bytes | memoryview] = flat[3 :: COLUMNS["blobs"]]  # type: ignore[assignment]
    if not any(len(content) >= LARGE_BYTES_MIN for content in data):
        return flat
    others: list[object] = []
    for row, content in enumerate(data):
        values = flat[row * COLUMNS["blobs"] :][: COLUMNS["blobs"]]
        if len(content) < LARGE_BYTES_MIN:
            others += values
            continue
        connection.execute("INSERT INTO main.blobs VALUES (?, ?, ?, zeroblob(?))", (*values[:3], len(content)))
        with connection.blobopen("blobs", "data", values[0], name="main") as blob:  # type: ignore[arg-type]
            blob.write(content)
    return others


def _together(batches: Iterable[Batch]) -> dict[str, list[object]]:
    """Rows of several rounds, table by table."""
    rows: dict[str, list[object]] = {table: [] for table in COLUMNS}
    for batch in batches:
        for table, flat in batch.rows.items():
            if flat:
                rows[table] += flat
    return rows


def _highest(connection: sqlite3.Connection, table: str, column: str, before: int) -> int:
    row = connection.execute(f"SELECT max({column}) FROM {table}").fetchone()
    return before if row[0] is None else max(int(row[0]), before)


def _insertion(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
