"""The machine as it stood after a round, so that a run can go on from there.

It is the latest snapshot of a round up to that one, whose state is compared with the chain, and the rounds that follow
it, each compared with its head. Without snapshots it is all rounds. What lies before the snapshot is not read: that its
links hold `ChainReader.check_links` says, that its content does `ChainReader.check_contents`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from turnwise.core.machine import Machine
from turnwise.core.plan_json import plan_from_json
from turnwise.core.records import AgentRecord, MessageRecord
from turnwise.core.snapshot import Snapshot
from turnwise.errors import DifferenceFound, JournalError
from turnwise.journal.file.errors import damaged
from turnwise.journal.read.chains import ChainReader
from turnwise.journal.read.columns import AGENT
from turnwise.journal.read.contents import ContentReader
from turnwise.journal.read.header import HeaderReader
from turnwise.journal.read.query import Query
from turnwise.journal.read.rounds import RoundReader
from turnwise.journal.read.snapshots import SnapshotReader

_AT_ONCE: Final = 500
"""Rows that are named one by one in one statement."""

_NEAR: Final = 8
"""Rows are read in one stretch where at least one in so many is wanted."""


class MachineReader:
    """Puts the machine of a run together. Raises JournalError where the journal is damaged."""

    def __init__(
        self,
        query: Query,
        header: HeaderReader,
        rounds: RoundReader,
        chains: ChainReader,
        snapshots: SnapshotReader,
        contents: ContentReader,
    ) -> None:
        self._query = query
        self._header = header
        self._rounds = rounds
        self._chains = chains
        self._snapshots = snapshots
        self._contents = contents

    def at(self, round_: int | None = None) -> Machine:
        """The machine after a round (default: the last), as if it had played all rounds up to there.

        Raises DifferenceFound if a round does not follow from what came before it.
        """
        last = self._rounds.last_round if round_ is None else round_
        snapshot = None if self._header.rule == 1 else self._snapshots.latest(last)
        machine = None
        if snapshot is not None:
            with suppress(ValueError):  # it only spares reading: then all rounds are read
                machine = self._restored(snapshot)
        machine = machine or self._begun()
        machine.restore(self._rounds.between(machine.world.round + 1, last))
        return machine

    def check_snapshots(self) -> None:
        """Compare all snapshots with the chain; raise JournalError for one that is not what it says, or not usable."""
        for snapshot in self._snapshots.all():
            try:
                self._restored(snapshot)
            except ValueError as error:
                raise self._refused(snapshot, f": {error}") from error

    def _begun(self) -> Machine:
        header = self._header
        return Machine(plan_from_json(header.plan), header.versions, header.rule)

    def _restored(self, snapshot: Snapshot) -> Machine:
        """The machine after a snapshot's round. Raises ValueError if the snapshot cannot be one of this run.

        Raises JournalError if it could, but the state is not the one that the chain names.
        """
        machine = self._begun()
        record = self._rounds.round(snapshot.round)
        broken = self._chains.follow(record.round).broken(record)
        if broken is not None:
            raise damaged(self._query.path, str(broken), expected=broken.expected, actual=broken.actual)
        if record.state is None:
            raise ValueError("the head of that round names no state")
        first = len(machine.world.agents)
        spawned = self._agents(first, self._rounds.summary(record.round).agents)
        begun = [agent.state for agent in machine.world.agents] + [agent.state for agent in spawned]
        try:
            states = self._states(snapshot, begun)
            waiting = self._rounds.parks.of_snapshot(snapshot)
            puts = self._contents.puts(snapshot.round)
            machine.restore_snapshot(snapshot, record, spawned, states, self._unread(snapshot), waiting, puts)
        except DifferenceFound as error:
            raise self._refused(snapshot, "", error) from error
        return machine

    def _refused(self, snapshot: Snapshot, why: str, found: DifferenceFound | None = None) -> JournalError:
        return JournalError(
            f"the snapshot of round {snapshot.round} is not the state that the run's head names{why}",
            where=str(self._query.path),
            expected=found.expected if found else None,
            actual=found.actual if found else None,
            hint="The journal has been damaged or changed after it was written. Snapshots only spare reading: to read "
            f"the rounds instead, sqlite3 {shlex.quote(str(self._query.path))} 'DROP TABLE snapshots'",
        )

    def _agents(self, first: int, end: int) -> list[AgentRecord]:
        rows = self._query.rows(f"{AGENT} WHERE place >= ? AND place < ? ORDER BY place", first, end)
        self._query.decoder.prefetch(rows, 3, 4, 7)
        return [self._query.decoder.agent(row) for row in rows]

    def _states(self, snapshot: Snapshot, begun: Sequence[str]) -> list[str]:
        """The states of all agents: those that they began with, and those that the named turns left."""
        if len(snapshot.left) != len(begun):
            raise ValueError(f"it is not of {len(begun)} agents")
        states = list(begun)
        by_round: dict[int, list[int]] = {}
        for place, left in enumerate(snapshot.left):
            if left:
                by_round.setdefault(left, []).append(place)
        value = self._query.decoder.value
        for round_, places in by_round.items():
            rows = [row for row in self._turn_states(round_, places) if row[1] is not None]
            self._query.decoder.prefetch(rows, 1)
            found = {place: value(state, f"state of place {place} in round {round_}") for place, state in rows}
            for place in places:
                if place not in found:
                    raise ValueError(f"place {place} left no state in round {round_}")
                states[place] = found[place]
        return states

    def _turn_states(self, round_: int, places: Sequence[int]) -> Iterator[tuple[int, object]]:
        select = "SELECT place, state FROM turns WHERE round = ? AND place"
        if (places[-1] - places[0]) < _NEAR * len(places):
            yield from self._query.rows(f"{select} BETWEEN ? AND ?", round_, places[0], places[-1])
            return
        for start in range(0, len(places), _AT_ONCE):
            some = places[start : start + _AT_ONCE]
            yield from self._query.rows(f"{select} IN ({','.join('?' * len(some))})", round_, *some)

    def _unread(self, snapshot: Snapshot) -> Iterator[MessageRecord]:
        """Messages that somebody has not read, in order."""
        seqs = sorted({seq for _, unread in snapshot.unread for seq in unread})
        start = 0
        while start < len(seqs):
            end = start + 1
            while end < len(seqs) and seqs[end] == seqs[end - 1] + 1 and end - start < _AT_ONCE:
                end += 1
            rows = self._query.rows(
                f"{self._query.messages} WHERE seq BETWEEN ? AND ? ORDER BY seq", seqs[start], seqs[end - 1]
            )
            self._query.decoder.prefetch(rows, 4, 5)
            yield from map(self._query.decoder.message, rows)
            start = end
