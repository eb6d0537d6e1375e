"""A journal: one SQLite file that holds a run, and the right to write it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from turnwise.core.records import AgentRecord, EndRecord, RoundRecord
from turnwise.errors import InvariantError
from turnwise.journal.file import connection as connections
from turnwise.journal.file.blobs import BlobWriter
from turnwise.journal.file.code_source import CodeSource
from turnwise.journal.file.errors import translated
from turnwise.journal.file.format import APPLICATION_ID, FORMAT, SCHEMA
from turnwise.journal.file.lock import WriterLock
from turnwise.journal.read.world import WorldReader
from turnwise.journal.write.encode import COLUMNS, Batch, Encoder

ROWS_MAX: Final = 1_000
"""Rows that SQLite is handed in one statement; fewer if its limit of variables is small."""


class Journal(WorldReader):
    """The file of one run, open for reading or for reading and writing. A context manager; closes twice without harm.

    One thread may read while another commits: each has its own connection.
    """

    def __init__(
        self,
        path: Path,
        *,
        reading: sqlite3.Connection,
        writing: sqlite3.Connection | None = None,
        lock: WriterLock | None = None,
    ) -> None:
        """Use `create` or `open`."""
        super().__init__(reading, path)
        self._writing = writing
        self._lock = lock
        self._closed = False
        self._blobs = BlobWriter(path)
        self._encoder = Encoder(path, self._blobs)
        self._committed = 0
        self._stale = False
        self._statements: dict[tuple[str, int], str] = {}
        self._variables_max = 0
        if writing is not None:
            self._variables_max = writing.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
            self._restart()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        plan: str,
        info: str,
        versions: str,
        codes: Mapping[str, CodeSource],
        agents: Sequence[AgentRecord],
    ) -> Self:
        """Begin a journal in a new file, which is complete and on disk, or not there, when this returns.

        `plan` is the plan's canonical JSON text; `info` (paths, providers) and `versions` are JSON texts that no head
        covers; `codes` maps the plan's code hashes to their sources; `agents` are those of the world file.
        """
        file = connections.located(path)
        lock = WriterLock(file)
        try:
            connections.create_file(file)
            try:
                _write_beginning(file, plan, info, versions, codes, agents)
                return cls._open(file, lock)
            except BaseException:
                for ending in ("", *connections.LEFT_BESIDE):
                    file.with_name(file.name + ending).unlink(missing_ok=True)
                raise
        except BaseException:
            lock.close()
            raise

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, write: bool = False) -> Self:
        """Open a journal of this or an older format. Whatever is not one is left as it is, byte for byte."""
        file = connections.located(path)
        connections.look(file)
        if not write:
            return cls(file, reading=connections.open_reading(file))
        connections.open_reading(file).close()  # before a lock or a log is put beside what may be foreign
        lock = WriterLock(file)
        try:
            return cls._open(file, lock)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def _open(cls, file: Path, lock: WriterLock) -> Self:
        writing = connections.open_writing(file)
        try:
            reading = connections.open_reading(file)
            try:
                return cls(file, reading=reading, writing=writing, lock=lock)
            except BaseException:
                reading.close()
                raise
        except BaseException:
            connections.tidy(writing)
            writing.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close. A writer leaves the one file, with no log beside it unless somebody is reading."""
        if self._closed:
            return
        self._closed = True
        self._connection.close()
        if self._writing is not None:
            connections.tidy(self._writing)
            self._writing.close()
        if self._lock is not None:
            self._lock.close()

    # Writing.

    def _restart(self) -> None:
        """Set what the writer knows to what is committed."""
        connection = self._writer()
        try:
            self._blobs.restart(connection)
            round_last = connection.execute("SELECT coalesce(max(round), 0) FROM rounds").fetchone()[0]
            agents = connection.execute("SELECT coalesce(max(place) + 1, 0) FROM agents").fetchone()[0]
            seq_last = connection.execute("SELECT coalesce(max(seq), -1) FROM messages").fetchone()[0]
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise translated(error, self.path, writing=False) from error
        self._committed = round_last
        self._encoder.restart(round_last=round_last, agents=agents, seq_last=seq_last)
        self._stale = False

    def _writer(self) -> sqlite3.Connection:
        if self._writing is None or self._closed:
            state = "closed" if self._closed else "open for reading only"
            raise InvariantError(f"the journal is {state}", where=str(self.path))
        return self._writing

    def commit(self, record: RoundRecord) -> None:
        """Write one round in one transaction; it is on disk when this returns.

        Raises EnvironmentFailure if the disk is full or fails: nothing of the round is kept then, everything before it
        is, and the same round can be committed again.
        """
        self.write(self.encode(record))

    def encode(self, record: RoundRecord) -> Batch:
        """The first half of `commit`: rows of a round that follows the last one encoded. Needs no disk."""
        self._writer()
        if self._stale:
            self._restart()
        return self._encoder.batch(record)

    def write(self, batch: Batch) -> None:
        """The second half of `commit`. May run in another thread than `encode`, one call at a time, in order."""
        connection = self._writer()
        if batch.generation != self._encoder.generation or batch.after != self._committed:
            where, expected = str(self.path), self._committed
            raise InvariantError("a round is written out of order", where=where, expected=expected, actual=batch.after)
        self._transaction(connection, batch.rows)
        self._committed = batch.round

    def end(self, record: EndRecord) -> None:
        """Note how the run ended. A run that is continued and ends again is noted again; the latest counts."""
        if self._stale:
            self._restart()
        self._append("ends", "round, reason, result, message", self._encoder.end_row(record))

    def resumed(self, *, versions: str, info: str) -> None:
        """Note that another process goes on writing, with its versions and where it finds things (JSON texts)."""
        if self._stale:
            self._restart()
        value = self._encoder.value
        self._append("writers", "round, versions, info", [self._committed, value(versions), value(info)])

    def _append(self, table: str, columns: str, values: list[object]) -> None:
        marks = ", ".join("?" * len(values))
        insert = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
        self._transaction(self._writer(), {"blobs": self._blobs.take()}, (insert, values))

    def _transaction(
        self,
        connection: sqlite3.Connection,
        rows: dict[str, list[object]],
        last: tuple[str, list[object]] | None = None,
    ) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for table, flat in rows.items():
                if flat:
                    self._insert(connection, table, flat)
            if last is not None:
                connection.execute(*last)
            connection.execute("COMMIT")
        except BaseException as error:
            self._stale = True
            self._encoder.generation += 1  # what has been encoded after this batch cannot follow it any more
            if connection.in_transaction:
                with suppress(sqlite3.Error):  # then SQLite takes it back when the file is opened next
                    connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise translated(error, self.path, writing=True, kept=self._committed) from error
            if isinstance(error, (UnicodeEncodeError, OverflowError)):
                raise InvariantError(f"a value cannot be stored: {error}", where=str(self.path)) from error
            raise

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
        statement = f"INSERT INTO {table} VALUES {','.join([row] * rows)}"
        if len(self._statements) >= 64:
            self._statements.clear()
        self._statements[table, rows] = statement
        return statement


def _write_beginning(
    file: Path,
    plan: str,
    info: str,
    versions: str,
    codes: Mapping[str, CodeSource],
    agents: Sequence[AgentRecord],
) -> None:
    """Everything that a new journal holds, in one transaction with SQLite's rollback journal."""
    blobs = BlobWriter(file)
    encoder = Encoder(file, blobs)
    try:
        connection = connections.connect(file, "mode=rw")
        try:
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            for sql in SCHEMA[FORMAT].values():
                connection.execute(sql)
            connection.execute("INSERT INTO meta VALUES ('plan', ?)", (encoder.value(plan),))
            writer = (1, 0, encoder.value(versions), encoder.value(info))
            connection.execute("INSERT INTO writers VALUES (?, ?, ?, ?)", writer)
            for code, source in codes.items():
                row = (code, source.carrier, source.entry, source.interpreter)
                connection.execute("INSERT INTO codes VALUES (?, ?, ?, ?)", row)
                for nr, (name, content) in enumerate(source.files):
                    numbered = (code, nr, name, blobs.number(content))
                    connection.execute("INSERT INTO code_files VALUES (?, ?, ?, ?)", numbered)
            rows = encoder.agent_rows(agents, 0)
            for table, flat in (("agents", rows), ("blobs", blobs.take())):
                columns = COLUMNS[table]
                connection.executemany(
                    f"INSERT INTO {table} VALUES ({','.join('?' * columns)})",
                    (flat[start : start + columns] for start in range(0, len(flat), columns)),
                )
            connection.execute("COMMIT")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translated(error, file, writing=True) from error
