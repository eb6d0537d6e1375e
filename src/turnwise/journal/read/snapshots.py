"""Snapshots that a journal holds: numbers that say where the world stood after some rounds.

They are derived, and a journal may lack them. Whether one is right the chain says, once the state behind it has been
put together (`turnwise.journal.read.machine`).
"""

from __future__ import annotations

from collections.abc import Iterator

from turnwise.core.snapshot import Snapshot
from turnwise.journal.file.errors import damaged
from turnwise.journal.file.snapshot_row import snapshot_of_row
from turnwise.journal.read.query import Query


class SnapshotReader:
    """Reads snapshots. Raises JournalError for a row that cannot be one."""

    def __init__(self, query: Query) -> None:
        self._query = query

    @property
    def kept(self) -> bool:
        """True if the file has a table of snapshots."""
        return self._query.row("SELECT 1 FROM sqlite_master WHERE name = 'snapshots'") is not None

    def latest(self, at_round: int) -> Snapshot | None:
        """The latest snapshot of a round up to this one; None if there is none."""
        if not self.kept:
            return None
        select = "SELECT round, size, data FROM snapshots WHERE round <= ? ORDER BY round DESC LIMIT 1"
        row = self._query.row(select, at_round)
        return None if row is None else self._snapshot(*row)

    def all(self) -> Iterator[Snapshot]:
        """Yield all snapshots, in order of round."""
        if not self.kept:
            return
        for (round_,) in self._query.rows("SELECT round FROM snapshots ORDER BY round"):
            row = self._query.row("SELECT round, size, data FROM snapshots WHERE round = ?", round_)
            if row is not None:
                yield self._snapshot(*row)

    def _snapshot(self, round_: int, size: object, data: object) -> Snapshot:
        agents = self._query.row("SELECT agents FROM rounds WHERE round = ?", round_)
        if agents is None:
            raise damaged(self._query.path, f"there is a snapshot of round {round_}, and no such round")
        count = self._query.decoder.integer(agents[0], f"number of agents of round {round_}")
        last = self._query.row("SELECT coalesce(max(seq) + 1, 0) FROM messages")
        messages = self._query.decoder.integer(last[0] if last else 0, "number of messages")
        try:
            return snapshot_of_row(round_, size, data, agents=count, messages=messages)
        except ValueError as error:
            raise damaged(self._query.path, f"the snapshot of round {round_} is none: {error}") from error
