"""A new journal: all that it holds before its first round, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from turnwise.core.head import RULE
from turnwise.core.records import AgentRecord
from turnwise.journal.file.blobs import BlobWriter
from turnwise.journal.file.code_source import CodeSource
from turnwise.journal.file.connection import connect
from turnwise.journal.file.errors import translated
from turnwise.journal.file.format import APPLICATION_ID, FORMAT
from turnwise.journal.file.schema import OPTIONAL, SCHEMA
from turnwise.journal.write.encode import COLUMNS, Encoder


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
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    for sql in (SCHEMA[FORMAT] | OPTIONAL[FORMAT]).values():
        connection.execute(sql)
    connection.execute("INSERT INTO meta VALUES ('plan', ?)", (encoder.value(plan),))
    connection.execute("INSERT INTO meta VALUES ('chains', ?)", (str(RULE),))
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
