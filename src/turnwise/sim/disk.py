"""A simulated disk with one journal on it: real SQLite in memory, whose commits can fail.

SQLite's own promise, that a transaction is on disk whole or not at all, is taken as given here; processes that are
killed for real try it in tests of their own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from turnwise.core.records import AgentRecord
from turnwise.journal import CodeSource, Journal
from turnwise.journal.write.beginning import insert_beginning
from turnwise.sim.chance import Chance
from turnwise.system.clock import Clock

PATH: Final = Path("simulated.journal")
PAGES_MAX: Final = 2**31 - 2
SQLITE_IOERR: Final = 10


class _Connection(sqlite3.Connection):
    """The one connection to the database, which is gone when it is closed: so it is not, until the disk is."""

    chance: Chance | None = None
    cut = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self.cut:
            raise sqlite3.ProgrammingError("the orchestrator that had this connection was killed")
        if sql == "COMMIT" and self.chance is not None and self.chance.strikes("torn"):
            super().execute("COMMIT" if self.chance.below(2) else "ROLLBACK")
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode, error.sqlite_errorname = SQLITE_IOERR, "SQLITE_IOERR"
            raise error
        return super().execute(sql, parameters)

    def close(self) -> None:
        """Leave the database as it is."""

    def drop(self) -> None:
        super().close()


class SimulatedDisk:
    """Holds the journal over all lives of an orchestrator."""

    def __init__(self, chance: Chance, clock: Clock) -> None:
        self._chance = chance
        self._clock = clock
        self._connection = sqlite3.connect(":memory:", isolation_level=None, factory=_Connection)

    def create(
        self, *, plan: str, versions: str, codes: Mapping[str, CodeSource], agents: Sequence[AgentRecord]
    ) -> None:
        """Begin the journal."""
        insert_beginning(self._connection, PATH, plan, "{}", versions, codes, agents)

    def open(self, *, write: bool = True) -> Journal:
        """Open the journal, for a new life of the orchestrator or to look at it."""
        connection = self._connection
        if write:
            connection.cut = False
            connection.chance = self._chance
            connection.execute(f"PRAGMA max_page_count = {PAGES_MAX}")
        return Journal(PATH, reading=connection, writing=connection if write else None, clock=self._clock)

    def fill(self) -> None:
        """Let no page be added, until the journal is opened again."""
        pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
        self._connection.execute(f"PRAGMA max_page_count = {pages}")

    def cut(self) -> None:
        """End all use of the journal, since who used it was killed."""
        if self._connection.in_transaction:
            self._connection.rollback()
        self._connection.cut = True

    def uncut(self) -> None:
        """Let the journal be looked at."""
        self._connection.cut = False
        self._connection.chance = None

    def close(self) -> None:
        self._connection.drop()
