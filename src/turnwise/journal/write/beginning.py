"""A new journal: all that it holds before its first round, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from turnwise.core.canonical import canonical
from turnwise.core.events import Answer, Input
from turnwise.core.head import RULE
from turnwise.core.records import AgentRecord, ChangeRecord
from turnwise.core.withheld import as_member
from turnwise.journal.file.blobs import BlobWriter
from turnwise.journal.file.code_source import CodeSource
from turnwise.journal.file.connection import connect
from turnwise.journal.file.errors import translated
from turnwise.journal.file.format import APPLICATION_ID, FORMAT
from turnwise.journal.file.lineage import PARENT
from turnwise.journal.file.parent import Parent
from turnwise.journal.file.schema import OPTIONAL, SCHEMA
from turnwise.journal.write.encode import COLUMNS, Encoder

Coming = Input | ChangeRecord | Answer
"""Something that comes from outside at the beginning of a round."""


def write_beginning(
    file: Path,
    plan: str,
    info: str,
    versions: str,
    codes: Mapping[str, CodeSource],
    agents: Sequence[AgentRecord],
) -> None:
    """Write everything that a new journal holds, in one transaction with SQLite's rollback journal."""
    try:
        with closing(connect(file, "mode=rw")) as connection:
            insert_beginning(connection, file, plan, info, versions, codes, agents)
    except sqlite3.Error as error:
        raise translated(error, file, writing=True) from error


def write_fork(
    file: Path,
    parent: Parent,
    info: str,
    versions: str,
    codes: Mapping[str, CodeSource],
    coming: Mapping[int, Sequence[Coming]],
) -> None:
    """Write everything that a new fork holds. `coming` is what comes from outside, by round."""
    blobs = BlobWriter(file, after=parent.blobs)
    encoder = Encoder(file, blobs)
    try:
        with closing(connect(file, "mode=rw")) as connection:
            _make_tables(connection)
            connection.execute("INSERT INTO meta VALUES (?, ?)", (PARENT, parent.to_json()))
            _insert_writer(connection, encoder, parent.writers + 1, parent.round, versions, info)
            _insert_codes(connection, blobs, codes)
            for round_, entries in coming.items():
                for nr, entry in enumerate(entries):
                    row = (round_, nr, *coming_columns(entry, encoder.value))
                    connection.execute("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", row)
            _insert_rows(connection, "blobs", blobs.take())
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise translated(error, file, writing=True) from error


def coming_columns(entry: Coming, value: Callable[[str], object]) -> tuple[str, object, object]:
    """Columns what, target and value of something that comes from outside."""
    if isinstance(entry, Input):
        return "message", entry.to, value(entry.body)
    if isinstance(entry, Answer):
        return "answer", entry.question, value(canonical({"asked": entry.asked, "reply": as_member(entry.reply)}))
    return entry.what, entry.target, None if entry.text is None else value(entry.text)


def insert_beginning(
    connection: sqlite3.Connection,
    file: Path,
    plan: str,
    info: str,
    versions: str,
    codes: Mapping[str, CodeSource],
    agents: Sequence[AgentRecord],
) -> None:
    """Make the tables of an empty database a journal's; `file` is its name in errors. Raises SQLite's errors."""
    blobs = BlobWriter(file)
    encoder = Encoder(file, blobs)
    _make_tables(connection)
    connection.execute("INSERT INTO meta VALUES ('plan', ?)", (encoder.value(plan),))
    connection.execute("INSERT INTO meta VALUES ('chains', ?)", (str(RULE),))
    _insert_writer(connection, encoder, 1, 0, versions, info)
    _insert_codes(connection, blobs, codes)
    _insert_rows(connection, "agents", encoder.agent_rows(agents, 0))
    _insert_rows(connection, "blobs", blobs.take())
    connection.execute("COMMIT")


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    for sql in (SCHEMA[FORMAT] | OPTIONAL[FORMAT]).values():
        connection.execute(sql)


def _insert_writer(
    connection: sqlite3.Connection, encoder: Encoder, number: int, round_: int, versions: str, info: str
) -> None:
    writer = (number, round_, encoder.value(versions), encoder.value(info))
    connection.execute("INSERT INTO writers VALUES (?, ?, ?, ?)", writer)


def _insert_codes(connection: sqlite3.Connection, blobs: BlobWriter, codes: Mapping[str, CodeSource]) -> None:
    for code, source in codes.items():
        row = (code, source.carrier, source.entry, source.interpreter)
        connection.execute("INSERT INTO codes VALUES (?, ?, ?, ?)", row)
        for nr, (name, content) in enumerate(source.files):
            numbered = (code, nr, name, blobs.number(content))
            connection.execute("INSERT INTO code_files VALUES (?, ?, ?, ?)", numbered)


def _insert_rows(connection: sqlite3.Connection, table: str, flat: list[object]) -> None:
    columns = COLUMNS[table]
    connection.executemany(
        f"INSERT INTO {table} VALUES ({','.join('?' * columns)})",
        (flat[start : start + columns] for start in range(0, len(flat), columns)),
    )
