"""Comparison of two runs and of what their difference reached: by round and agents' names, on outcomes.

Heads are of no use for it, since they begin with the plan: two worlds that are unlike in one word have no head in
common. So turns are compared by what they read, asked, were answered, and left; messages by sender, addressee and body,
since their numbers shift.

A turn that differs has causes, as far as the journals hold any: its agent differed before (its state, its alarm, its
count of turns), it read what the other did not, an agent spawned or stopped it in one run only, or a fork has changed
something of it from outside. A message to a group that was sent in both runs, and read in one only, has not come from
its sender, who did the same: it has come from the group. A turn that differs without any of these is an origin: another
seed, model, code, argument or group of the worlds. Nothing is guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from turnwise.core.compare import Difference
from turnwise.core.records import EndRecord
from turnwise.core.sampling import index_text
from turnwise.history.compared_run import OUTSIDE, ComparedRun, ComparedTurn, Message
from turnwise.history.parting import AnswerParting, parting
from turnwise.history.plan_changes import plan_changes
from turnwise.journal import Journal
from turnwise.journal.read.rows import Totals

TURNS_KEPT_MAX: Final = 10_000
"""Turns that differ and are kept with their differences; all are counted."""


@dataclass(frozen=True, slots=True)
class TurnDiff:
    """A turn that is not the same in both runs."""

    round: int
    """Round of the turn."""
    agent: str
    """Name of the agent."""
    what: str
    """Name of the first fact that differs."""
    left: object
    """Value of it in the first run; None where that has no such turn."""
    right: object
    """Value of it in the second run; None where that has no such turn."""
    causes: tuple[str, ...]
    """Agents from which the difference came, its own included if it differed before; none for an origin."""
    groups: tuple[str, ...] = ()
    """Groups over which messages came that only one of the runs has, or that only one of them delivered here."""
    parting: AnswerParting | None = None
    """Token in which two answers part, if that is what differs first."""


@dataclass(frozen=True, slots=True)
class Diff:
    """Differences between two runs.

    `plan` lists members of the plans that differ (name, left, right). `first` is the first turn that differs, or None;
    `turns` are all, at most `TURNS_KEPT_MAX`, of `count`. `reached` maps the agents that differ to the first round in
    which they do; `unreached` are those whose turns are all the same. `rounds` counts rounds that are in either run.
    `end` is how the runs ended, if that differs. `related` is False if no agent is in both, or if two worlds of other
    names have no code and no turn in common. `totals` are what each run took, of the agent alone if one was named.
    `changes` are those from outside that only one of them has: "left" or "right", the round, and the change in words.
    `common` is the last round that both have from one journal, since one was forked from the other or both from a
    third: up to there nothing had to be compared; 0 without.
    """

    plan: tuple[tuple[str, object, object], ...]
    first: TurnDiff | None
    turns: tuple[TurnDiff, ...]
    count: int
    reached: dict[str, int]
    unreached: tuple[str, ...]
    rounds: int
    end: Difference | None
    related: bool
    totals: tuple[Totals, Totals]
    changes: tuple[tuple[str, int, str], ...] = ()
    common: int = 0

    @property
    def equal(self) -> bool:
        """True if everything that happened is the same, whatever the plans say."""
        return self.first is None and self.end is None and self.related


@dataclass(frozen=True, slots=True)
class _Origins:
    """Agents and groups from which a difference came to a turn."""

    agents: tuple[str, ...]
    groups: tuple[str, ...]


def diff(left: Path, right: Path, agent: str | None = None, *, parents: Sequence[Path] = ()) -> Diff:
    """Compare two journals; `agent` keeps the turns of one agent only. Raises `JournalError` if one is damaged.

    `parents` are files, and folders, in which to look for what forks go on from, if that was moved.
    """
    with ExitStack() as stack:
        sides = [stack.enter_context(Journal.open(path, parents=parents)) for path in (left, right)]
        for journal in sides:
            journal.chains.check_links()
        common = _common(*sides)
        left_side, right_side = [ComparedRun(journal, agent, common) for journal in sides]
        return _Comparison(left_side, right_side, common).diff(agent)


def _common(left: Journal, right: Journal) -> int:
    """The last round up to which two runs are one, as far as forks say from which head they go on; else 0."""
    found = 0
    for one, other in ((left, right), (right, left)):
        for point in one.lineage:
            there = other.rounds.summary_before(point.round + 1)
            if there is not None and (there.round, there.head) == (point.round, point.head):
                found = max(found, point.round)
    return found


class _Comparison:
    def __init__(self, left: ComparedRun, right: ComparedRun, common: int) -> None:
        self._common = common
        self._left = left
        self._right = right
        self._apart: set[str] = set()
        self._changed: set[str] = set()
        self._reached: dict[str, int] = {}
        self._sent: Counter[Message] = Counter()
        self._same = 0

    def diff(self, agent: str | None) -> Diff:
        kept: list[TurnDiff] = []
        first: TurnDiff | None = None
        count, rounds = 0, self._left.journal.rounds.totals(self._common).rounds
        while number := min([side.round for side in (self._left, self._right) if side.round is not None], default=0):
            rounds += 1
            for found in self._round(number):
                first = first or found
                if agent is not None and found.agent != agent:
                    continue
                count += 1
                if len(kept) < TURNS_KEPT_MAX:
                    kept.append(found)
        names = dict.fromkeys((*self._left.names, *self._right.names))
        both = set(self._left.names) & set(self._right.names)
        return Diff(
            plan=tuple(plan_changes(self._left.journal, self._right.journal)),
            first=first,
            turns=tuple(kept),
            count=count,
            reached=self._reached,
            unreached=tuple([name for name in names if name not in self._reached]),
            rounds=rounds,
            end=_end(self._left.journal, self._right.journal),
            related=self._is_related(both, names),
            totals=(self._left.totals, self._right.totals),
            changes=tuple(self._changes_of_one()),
            common=self._common,
        )

    def _is_related(self, both: Collection[str], names: Collection[str]) -> bool:
        if not names or self._same:
            return True
        plans = [side.journal.header.plans()[0][1] for side in (self._left, self._right)]
        codes = [{kind.code for kind in plan.kinds} for plan in plans]
        return bool(both) and (plans[0].name == plans[1].name or bool(codes[0] & codes[1]))

    def _changes_of_one(self) -> Iterator[tuple[str, int, str]]:
        for name, side, other in (("left", self._left, self._right), ("right", self._right, self._left)):
            there = set(other.changes)
            yield from ((name, round_, words) for round_, words in side.changes if (round_, words) not in there)

    def _round(self, number: int) -> list[TurnDiff]:
        for side in (self._left, self._right):
            side.touched = set()
        left = self._left.take() if self._left.round == number else {}
        right = self._right.take() if self._right.round == number else {}
        self._changed |= {name for name, _ in self._left.touched ^ self._right.touched}
        self._sent.update(self._left.sent)
        self._sent.subtract(self._right.sent)
        self._sent = Counter({message: count for message, count in self._sent.items() if count})
        self._left.sent, self._right.sent = Counter(), Counter()
        found = []
        for name in dict.fromkeys((*left, *right)):
            mine, other = left.get(name), right.get(name)
            causes = self._causes(name, mine, other)
            if mine is None or other is None or mine.facts != other.facts:
                self._reached.setdefault(name, number)
                found.append(_turn_diff(number, name, mine, other, causes))
            else:
                self._same += 1
        for name in dict.fromkeys((*left, *right)):
            self._changed.discard(name)
            mine, other = left.get(name), right.get(name)
            together = mine is not None and other is not None and mine.standing == other.standing
            if not together or (mine is not None and mine.standing[1] is None and name in self._apart):
                self._apart.add(name)
            else:
                self._apart.discard(name)
        return found

    def _causes(self, name: str, left: ComparedTurn | None, right: ComparedTurn | None) -> _Origins:
        """Agents and groups from which a difference came to this turn, if there is one."""
        causes = [name] if name in self._apart else []
        read = [Counter(turn.read) if turn is not None else Counter() for turn in (left, right)]
        unlike = (read[0] - read[1]) + (read[1] - read[0])
        groups = {message[1] for message in unlike if not self._is_agent(message[1])}
        delivered = {message for message in unlike if message[1] in groups and not self._sent[message]}
        causes += sorted({message[0] for message in unlike if message not in delivered})
        parents = {side.parents.get(name) for side in (self._left, self._right) if name in side.parents}
        if name not in self._left.parents or name not in self._right.parents:
            causes += sorted(parent for parent in parents if parent is not None)
        stoppers = {self._left.stoppers.get(name), self._right.stoppers.get(name)}
        if (left is None or right is None) and len(stoppers) > 1:
            causes += sorted(stopper for stopper in stoppers if stopper is not None)
        if name in self._changed:
            causes.append(OUTSIDE)
        return _Origins(tuple(dict.fromkeys(causes)), tuple(sorted(groups)))

    def _is_agent(self, name: str) -> bool:
        return name in self._left.parents or name in self._right.parents


def _turn_diff(
    number: int, name: str, left: ComparedTurn | None, right: ComparedTurn | None, from_: _Origins
) -> TurnDiff:
    causes, groups = from_.agents, from_.groups
    if left is None or right is None:
        there, other = ["a turn" if turn is not None else None for turn in (left, right)]
        return TurnDiff(number, name, "turn", there, other, causes, groups)
    # Facts that are in both stand in one order, and the state is last: so the first pair that differs is there.
    one, two = next(pair for pair in zip(left.facts, right.facts, strict=False) if pair[0] != pair[1])
    if one[0] != two[0]:
        return TurnDiff(number, name, "effects", f"{one[0]} = {one[1]!r}", f"{two[0]} = {two[1]!r}", causes, groups)
    effects = zip(left.effects, right.effects, strict=False)
    parts = next((parting(*pair) for pair in effects if one[0] == f"effect {index_text(pair[0].index)}: reply"), None)
    return TurnDiff(number, name, one[0], one[1], two[1], causes, groups, parts)


def _end(left: Journal, right: Journal) -> Difference | None:
    ends = [journal.rounds.end_record for journal in (left, right)]
    shown = [None if end is None else _shown(end) for end in ends]
    if shown[0] == shown[1]:
        return None
    last = min(left.rounds.last_round, right.rounds.last_round)
    return Difference(last, None, "how the run ended", shown[0], shown[1])


def _shown(end: EndRecord) -> tuple[object, ...]:
    return end.reason, end.round, end.result, end.message
