"""Snapshots that a journal holds: numbers that say where the world stood after some rounds.

They are derived, and a journal may lack them. Whether one is right the chain says, once the state behind it has been
put together (`turnwise.journal.read.machine`). A fork has those of its ancestors up to where it left them.
"""

from __future__ import annotations

from collections.abc import Iterator

from turnwise.core.snapshot import Snapshot
from turnwise.errors import JournalError
from turnwise.journal.file.errors import damaged
from turnwise.journal.file.format import INTEGER_MAX
from turnwise.journal.file.snapshot_row import snapshot_of_row
from turnwise.journal.read.query import Query


class SnapshotReader:
    """Reads snapshots. Raises JournalError for a row that cannot be one."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._latest: Snapshot | None = None  # the one that was read last: rows of rounds that are there do not change

    @property
    def kept(self) -> bool:
        """True if the file has a table of snapshots."""
        return self._query.row("SELECT 1 FROM sqlite_master WHERE name = 'snapshots'") is not None

    def latest(self, at_round: int) -> Snapshot | None:
        """The latest snapshot of a round up to this one; None if there is none, or its row cannot be one.

        Those after a change from outside are passed over, since numbers do not say what came.
        """
        if not self.kept:
            return None
        select = "SELECT round FROM snapshots WHERE round <= ? AND round < ? ORDER BY round DESC LIMIT 1"
        row = self._query.row(select, at_round, self._changed_first())
        if row is None:
            return None
        if self._latest is None or self._latest.round != row[0]:
            try:
                self._latest = self.of(row[0])
            except JournalError:
                return None
        return self._latest

    def of(self, round_: int) -> Snapshot | None:
        """The snapshot of one round; None if there is none."""
        if not self.kept:
            return None
        row = self._query.row("SELECT round, size, data FROM snapshots WHERE round = ?", round_)
        return None if row is None else self._snapshot(*row)

    def _changed_first(self) -> int:
        """The first round that begins with a change from outside, or a number above all rounds."""
        if self._query.row("SELECT 1 FROM sqlite_master WHERE name = 'changes'") is None:
            return INTEGER_MAX
        row = self._query.row("SELECT min(round) FROM changes WHERE what NOT IN ('message', 'answer')")
        return (
            INTEGER_MAX if row is None or row[0] is None else self._query.decoder.integer(row[0], "round of a change")
        )

    def all(self) -> Iterator[Snapshot]:
        """Yield all snapshots, in order of round."""
        if not self.kept:
            return
        for (round_,) in self._query.rows("SELECT round FROM snapshots ORDER BY round"):
            snapshot = self.of(round_)
            if snapshot is not None:
                yield snapshot

    def _snapshot(self, round_: int, size: object, data: object) -> Snapshot:
        agents = self._query.row("SELECT agents FROM rounds WHERE round = ?", round_)
        if agents is None:
            raise damaged(self._query.path, f"there is a snapshot of round {round_}, and no such round")
        count = self._query.decoder.integer(agents[0], f"number of agents of round {round_}")
        last = self._query.row("SELECT seq FROM messages ORDER BY seq DESC LIMIT 1")  # max() reads all of a fork
        messages = self._query.decoder.integer(last[0], "number of a message") + 1 if last else 0
        try:
            return snapshot_of_row(round_, size, data, agents=count, messages=messages)
        except ValueError as error:
            raise damaged(self._query.path, f"the snapshot of round {round_} is none: {error}") from error
