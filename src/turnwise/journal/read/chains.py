"""Checks of a journal's chains: of the links, which need nothing of what is in the rounds, and of the contents.

Following the links costs little, so it is done whenever a run is opened. It shows that no round was taken out, put in
or put elsewhere, that the first agents are the plan's, and that the run ended as its head says. What is in a round is
compared with its outcome and its execution digest where whole rounds are read. That turns do what they are said to have
done only a replay shows.
"""

from __future__ import annotations

from collections.abc import Iterator

from turnwise.core import head as chain
from turnwise.core.canonical import canonical
from turnwise.core.compare import Difference, first_agents_difference
from turnwise.core.plan import Plan
from turnwise.core.plan_json import plan_from_json
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.state import first_agents
from turnwise.journal.file.errors import damaged
from turnwise.journal.read.columns import AGENT
from turnwise.journal.read.header import HeaderReader
from turnwise.journal.read.queries import QueryReader
from turnwise.journal.read.query import Query
from turnwise.journal.read.rounds import RoundReader
from turnwise.journal.read.rows import RoundSummary


class ChainReader:
    """Follows the chains of a journal. What does not follow is a difference, or JournalError where one is raised."""

    def __init__(self, query: Query, header: HeaderReader, rounds: RoundReader, queries: QueryReader) -> None:
        self._query = query
        self._header = header
        self._rounds = rounds
        self._queries = queries

    def check_links(self) -> None:
        """Raise JournalError if `broken_link` finds one."""
        self._raise(self.broken_link())

    def broken_link(self) -> Difference | None:
        """Compare the first agents with the plan, each round's link with the one before, and the ends.

        Under rule 1 the links need what is in the rounds, and ends have no head: only their order is looked at then.
        """
        rule = self._header.rule
        plan = plan_from_json(self._header.plan)
        found = self._first_agents_difference(plan)
        if found is not None:
            return found
        head, last, agents = chain.genesis(plan, rule), 0, len(plan.agents)
        ends: dict[int, list[EndRecord]] = {}
        for end in self._rounds.ends():
            ends.setdefault(end.round, []).append(end)
        found = _broken_end(ends.pop(0, []), head, rule)
        for number, stored, outcome, state, spawned, count in self._rounds.links():
            if found is not None:
                return found
            if rule == 1:
                head = stored
            elif not _is_digest(outcome) or not (state is None or _is_digest(state)):
                return Difference(number, None, "outcome", _hex(outcome), "a SHA-256")
            elif stored != (head := chain.linked(head, outcome, state)):
                return Difference(number, None, "head", _hex(stored), _hex(head))
            agents += spawned
            if count != agents:
                return Difference(number, None, "number of agents", count, agents)
            last = number
            found = _broken_end(ends.pop(number, []), head, rule)
        if found is None and ends:
            return Difference(min(ends), None, "the run ended after a round that is not there", min(ends), last)
        return found

    def _first_agents_difference(self, plan: Plan) -> Difference | None:
        """Compare the first agents with the plan: by their rows where these hold short texts, as most do."""
        grants = {kind.name: canonical([kind.name]) for kind in plan.kinds}
        rows = self._query.rows(f"{AGENT} WHERE born = 0 ORDER BY place")
        expected = first_agents(plan)
        if len(rows) == len(expected) and all(
            row == (agent.place, agent.name, agent.kind, agent.args, agent.state, 0, None, grants[agent.kind])
            for row, agent in zip(rows, expected, strict=True)
        ):
            return None
        return first_agents_difference(expected, self._queries.agents(0))

    def follow(self, first: int = 1) -> ChainFollower:
        """A follower of both chains from round `first` on, through whole rounds."""
        return ChainFollower(self._header, self._rounds.summary_before(first))

    def rounds(self, first: int = 1, last: int | None = None) -> Iterator[RoundRecord]:
        """Rounds `first` to `last`, each compared with its outcome, its head and its execution digest."""
        follower = self.follow(first)
        for record in self._rounds.between(first, last):
            self._raise(follower.broken(record))
            yield record

    def check_contents(self) -> None:
        """Read all rounds, and compare them with their outcomes, heads and execution digests."""
        for _ in self.rounds():
            pass

    def _raise(self, found: Difference | None) -> None:
        if found is not None:
            what = f"{found} does not follow from the rest of the journal"
            raise damaged(self._query.path, what, expected=found.expected, actual=found.actual)


class ChainFollower:
    """Follows both chains through whole rounds, one after the other. `head` is that after the latest round."""

    def __init__(self, header: HeaderReader, before: RoundSummary | None) -> None:
        self._header = header
        self._rule = header.rule
        self._writers = header.writers()
        self._round = 0
        self.head = chain.genesis(plan_from_json(header.plan), self._rule)
        self._execution = chain.execution_genesis(self._writers[0].versions, self._rule)
        if before is not None:
            self._round, self.head, self._execution = before.round, before.head, before.execution

    def broken(self, record: RoundRecord) -> Difference | None:
        """Compare the values that are stored of the next round with those that follow from its content."""
        rule = self._rule
        facts = chain.facts_of(record, rule)
        outcome = chain.outcome(facts, rule)
        if outcome != record.outcome:
            return Difference(record.round, None, "outcome", _hex(record.outcome), _hex(outcome))
        self.head = chain.advance(self.head, facts, rule, record.state)
        if self.head != record.head:
            return Difference(record.round, None, "head", _hex(record.head), _hex(self.head))
        continued = self._header.continued_versions(self._round, self._writers)
        if continued is not None:
            self._execution = chain.execution_continued(self._execution, continued)
        self._execution = chain.execution_advance(
            self._execution, record.round, record.turns, record.waves, rule, record.parks
        )
        if self._execution != record.execution:
            return Difference(record.round, None, "execution digest", _hex(record.execution), _hex(self._execution))
        self._round = record.round
        return None


def _broken_end(ends: list[EndRecord], head: bytes, rule: int) -> Difference | None:
    for end in ends:
        expected = chain.ended(head, end, rule)
        if end.head != expected:
            return Difference(end.round, None, "how the run ended", _hex(end.head), _hex(expected))
    return None


def _is_digest(value: object) -> bool:
    return type(value) is bytes and len(value) == 32


def _hex(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value
