"""The world after any round, which a journal does not store but implies.

What lies before the latest snapshot up to that round is taken from its numbers, where there is one: what they say is
compared with the chain by `MachineReader.check_snapshots`, and where a run goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from turnwise.core.records import ChangeRecord
from turnwise.core.snapshot import Snapshot
from turnwise.errors import JournalError
from turnwise.journal.file.errors import damaged
from turnwise.journal.read.decode import Row
from turnwise.journal.read.queries import QueryReader
from turnwise.journal.read.query import Query
from turnwise.journal.read.rounds import RoundReader
from turnwise.journal.read.rows import PendingMessage, RoundSummary, Standing
from turnwise.journal.read.snapshots import SnapshotReader


class WorldReader:
    """Answers for any committed round; without `at_round`, for the last."""

    def __init__(self, query: Query, rounds: RoundReader, queries: QueryReader, snapshots: SnapshotReader) -> None:
        self._query = query
        self._rounds = rounds
        self._queries = queries
        self._snapshots = snapshots

    def state_at(self, place: int, at_round: int) -> str:
        """An agent's state after a round: what its latest completed turn or a change left, or what it began with."""
        changed = self._changed(place, at_round)
        row = self._left(place, at_round) or self._query.row(
            "SELECT state, 0 FROM agents WHERE place = ? AND born <= ?", place, at_round
        )
        if row is None:
            raise JournalError(
                f"there is no agent with place {place} in round {at_round}.",
                where=str(self._query.path),
                actual=place,
                hint="Check the place and the round.",
            )
        state = changed[0] if changed is not None and changed[1] > row[1] else row[0]
        return self._query.decoder.value(state, f"state of place {place} in round {at_round}")

    def _left(self, place: int, at_round: int) -> Row | None:
        """The state that an agent's latest completed turn up to a round has left, and its round; None without one."""
        snapshot = self._snapshots.latest(at_round)
        if snapshot is None or len(snapshot.left) != self._rounds.summary(snapshot.round).agents:
            return self._left_between(place, 0, at_round)
        row = self._left_between(place, snapshot.round, at_round)
        if row is not None or place >= len(snapshot.left) or not snapshot.left[place]:
            return row
        round_ = snapshot.left[place]
        if round_ <= snapshot.round:
            select = "SELECT state, round FROM turns WHERE round = ? AND place = ? AND failure IS NULL"
            row = self._query.row(select, round_, place)
        return row or self._left_between(place, 0, at_round)  # a snapshot only spares reading

    def _left_between(self, place: int, after: int, last: int) -> Row | None:
        return self._query.row(
            "SELECT turns.state, rounds.round FROM rounds CROSS JOIN turns USING (round) WHERE turns.place = ? "
            "AND rounds.round > ? AND rounds.round <= ? AND turns.failure IS NULL ORDER BY rounds.round DESC LIMIT 1",
            place,
            after,
            last,
        )

    def _changed(self, place: int, at_round: int) -> Row | None:
        """The latest state that an agent was given from outside up to a round, and its round."""
        if not self._rounds.changes_any:
            return None
        return self._query.row(
            "SELECT value, round FROM changes WHERE what = 'state' AND target = ? AND round <= ? "
            "ORDER BY round DESC, nr DESC LIMIT 1",
            place,
            at_round,
        )

    def standings(self, at_round: int | None = None) -> Iterator[Standing]:
        """The standing of every agent after a round, in order of place, stopped ones too."""
        last = self._rounds.last_round if at_round is None else at_round
        integer = self._query.decoder.integer
        # `max` makes SQLite take the other columns from the row that has it.
        select = "SELECT place, max(round), turn, wake_in, state FROM turns WHERE round <= ?"
        latest: dict[object, Row] = {row[0]: row for row in self._query.rows(f"{select} GROUP BY place", last)}
        completed = self._query.rows(f"{select} AND failure IS NULL GROUP BY place", last)
        states: dict[object, object] = {row[0]: row[4] for row in completed}
        completed_in: dict[object, int] = {row[0]: row[1] for row in completed}
        for agent in self._queries.agents(last):
            changed = self._changed(agent.place, last)
            if changed is not None and changed[1] > (completed_in.get(agent.place) or 0):
                states[agent.place] = changed[0]
            _, number, turn, wake_in, _ = latest.get(agent.place, (agent.place, None, 0, None, None))
            what = f"of the latest turn of place {agent.place}"
            yield Standing(
                agent.place,
                integer(turn, f"turn {what}"),
                self._query.decoder.value(states.get(agent.place, agent.state), f"state {what}"),
                None if number is None else integer(number, f"round {what}"),
                None if wake_in is None else integer(wake_in, f"wake_in {what}"),
            )

    def pending(self, at_round: int | None = None) -> list[PendingMessage]:
        """Messages that agents have not read after a round, in order of sequence number.

        It is what the messages' recipients say, without what the turns' inboxes say. An input counts from the commit
        of the round at whose beginning it came.
        """
        last = self._rounds.last_round if at_round is None else at_round
        snapshot = self._snapshots.latest(last)
        waiting = {} if snapshot is None else _unread(snapshot)
        self._read_mail(waiting, 1 if snapshot is None else snapshot.round + 1, last)
        gone = self._queries.stopped(last)
        left = [(seq, tuple(sorted(places - gone))) for seq, places in sorted(waiting.items())]
        return [PendingMessage(self._queries.message(seq), places) for seq, places in left if places]

    def check_mail(self) -> None:
        """Raise JournalError if, in all the rounds, somebody read a message that was not waiting for it."""
        self._read_mail({}, 1, self._rounds.last_round)

    def _read_mail(self, waiting: dict[int, set[int]], first: int, last: int) -> None:
        """Bring `waiting`, the places that have not read each message, from before a round to after another."""
        dropped: dict[int, list[int]] = {}
        for number, entries in self._rounds.coming(first, last).items():
            for entry in entries:
                if isinstance(entry, ChangeRecord) and entry.what == "drop" and entry.target is not None:
                    dropped.setdefault(number, []).append(entry.target)
        for summary in self._rounds.summaries(first, last):
            self._deliver(summary, waiting, dropped.get(summary.round, ()))

    def _deliver(self, summary: RoundSummary, waiting: dict[int, set[int]], dropped: Sequence[int]) -> None:
        """Add the messages of one round to what waits, and take away what its turns read."""
        numbers = self._query.decoder.numbers
        select = "SELECT seq, recipients FROM messages WHERE seq >= ? ORDER BY seq LIMIT ?"
        for seq, packed in self._query.rows(select, summary.message_first or 0, summary.inputs + summary.messages):
            places = numbers(packed, "agents", f"recipients of message {seq}")
            if places:
                waiting[seq] = set(places)
        for seq in dropped:
            waiting.pop(seq, None)
        select = "SELECT place, inbox FROM turns WHERE round = ? AND inbox IS NOT NULL"
        for place, packed in self._query.rows(select, summary.round):
            for seq in numbers(packed, "messages", f"inbox of place {place} in round {summary.round}"):
                left = waiting.get(seq)
                if left is None or place not in left:
                    what = f"in round {summary.round}, place {place} read message {seq}, which was not waiting for it"
                    raise damaged(self._query.path, what)
                left.discard(place)
                if not left:
                    del waiting[seq]


def _unread(snapshot: Snapshot) -> dict[int, set[int]]:
    """Places that have not read a message, by its number."""
    waiting: dict[int, set[int]] = {}
    for place, seqs in snapshot.unread:
        for seq in seqs:
            waiting.setdefault(seq, set()).add(place)
    return waiting
