"""Statements that read a journal, each to its end.

Every statement is read to its end before anything is returned, so that no read transaction stays open: a writer's log
could not be copied into the journal meanwhile. Since a round appears in `rounds` in the same moment as its other rows,
and rows never change, reading statement by statement is consistent.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from turnwise.journal.file.errors import damaged, reading
from turnwise.journal.read.columns import MESSAGE
from turnwise.journal.read.decode import Row, RowDecoder

PAGE_ROWS: Final = 1_000
"""Rows that are fetched at once where a whole table is read."""


class Query:
    """One connection for reading, and what decodes its rows. Not for several threads at once.

    `decoder` decodes the rows of this journal; its cache of long texts is shared by all readers of the connection.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self.decoder = RowDecoder(connection, path)
        self._connection = connection
        self._attachments = False

    @property
    def messages(self) -> str:
        """The statement that selects messages. An older journal gets the column of attachments when it is continued."""
        if not self._attachments:
            self._attachments = bool(self.rows("SELECT 1 FROM pragma_table_info('messages') WHERE name = 'attach'"))
        return MESSAGE.format(attach="attach" if self._attachments else "NULL")

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        """Return all rows of a statement."""
        with reading(self.path):
            try:
                return self._connection.execute(sql, parameters).fetchall()
            except OverflowError as error:
                raise damaged(self.path, f"a number in it is too large: {error}") from error

    def row(self, sql: str, *parameters: object) -> Row | None:
        """The first row, None if there is none."""
        rows = self.rows(sql, *parameters)
        return rows[0] if rows else None
