"""The second half of writing: rows of whole rounds into the file, each round in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.snapshot import Snapshot
from turnwise.errors import InvariantError
from turnwise.journal.file.blobs import BlobWriter
from turnwise.journal.file.box_position import BoxPosition
from turnwise.journal.file.errors import translated
from turnwise.journal.file.format import FORMAT
from turnwise.journal.file.lineage import parent_of
from turnwise.journal.file.parent import Parent
from turnwise.journal.file.schema import OPTIONAL
from turnwise.journal.file.times import RoundTimes
from turnwise.journal.write.encode import COLUMNS, Batch, Encoder
from turnwise.system.clock import SYSTEM_CLOCK, Clock

ROWS_MAX: Final = 1_000
"""Rows that SQLite is handed in one statement; fewer if its limit of variables is small."""


_NO_PARENT: Final = Parent("", bytes(32), 0, 0, 0, 0, 0)

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
        self.write(self.encode(record, end, times, snapshot, received))

    def encode(
        self,
        record: RoundRecord,
        end: EndRecord | None = None,
        times: RoundTimes | None = None,
        snapshot: Snapshot | None = None,
        received: BoxPosition | None = None,
    ) -> Batch:
        """The first half of `commit`: rows of a round that follows the last one encoded. Needs no disk.

        Raises the failure of a write again until `commit`, `end` or `resumed` is called: whoever encodes ahead may not
        have been told yet, and this round would be taken for the one that follows the last committed.
        """
        if self._failure is not None:
            raise self._failure
        return self._encoder.batch(record, end, times, snapshot, received)

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
        self._transaction(self._connection, rows, None if last.end is None else (_insertion(*_ENDS), last.end))
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
    ) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for table, flat in rows.items():
                if flat and (table not in OPTIONAL[FORMAT] or table in self._optional):
                    self._insert(connection, table, flat)
            if self._times:
                self._insert(connection, "timings", self._times)
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
