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

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from turnwise.core.compare import Difference
from turnwise.core.plan_json import plan_to_json
from turnwise.core.records import EffectRecord, EndRecord, ParkRecord, RoundRecord, TurnRecord
from turnwise.history.outside_changes import answer_text, change_text, concerns
from turnwise.history.parting import AnswerParting, parting
from turnwise.journal import Journal
from turnwise.journal.file.errors import damaged
from turnwise.journal.read.rows import Totals

TURNS_KEPT_MAX: Final = 10_000
"""Turns that differ and are kept with their differences; all are counted."""

PLAN_CHANGES_MAX: Final = 100

OUTSIDE: Final = "outside"


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


_Message = tuple[str, str, str]
"""Sender, agent or group, and body."""


@dataclass(frozen=True, slots=True)
class _Origins:
    """Agents and groups from which a difference came to a turn."""

    agents: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _ComparedTurn:
    """A turn in facts that do not depend on places and sequence numbers. `read` are its messages, with senders."""

    facts: tuple[tuple[str, object], ...]
    read: tuple[_Message, ...]
    standing: tuple[object, ...]
    effects: tuple[EffectRecord, ...]


class _Side:
    """One of the two journals, read round by round, each compared with its outcome."""

    def __init__(self, journal: Journal, agent: str | None, common: int) -> None:
        self.journal = journal
        self._agent = agent
        self.names: list[str] = []
        self._kinds: list[str] = []
        self.parents: dict[str, str | None] = {}
        for entry in journal.queries.agents():
            parent = None if entry.parent is None else self.names[entry.parent]
            self.names.append(entry.name)
            self._kinds.append(entry.kind)
            self.parents[entry.name] = parent
        self.stoppers: dict[str, str] = {}
        self.changes: list[tuple[int, str]] = []
        self.touched: set[tuple[str, str]] = set()
        self._unread: dict[int, tuple[_Message, int]] = {}
        self.sent: Counter[_Message] = Counter()
        self._rounds = journal.chains.rounds(common + 1)
        self._next = next(self._rounds, None)
        self._counts = [0] * len(Totals.__dataclass_fields__)
        if common:
            self._begin_after(common)

    def _begin_after(self, common: int) -> None:
        """Stand where the common beginning ends: with the messages that are unread then, and what it took."""
        journal = self.journal
        for place in journal.queries.stopped(common):
            self.stoppers[self.names[place]] = OUTSIDE  # the same in both: whoever it was is no cause of a difference
        for pending in journal.world.pending(common):
            message = pending.message
            sender = OUTSIDE if message.sender is None else self.names[message.sender]
            self._unread[message.seq] = (sender, message.to, message.body), len(pending.places)
        if self._agent is None:
            self._counts = list(astuple(journal.queries.totals(common)))
        elif self._agent in self.names:
            self._counts = list(astuple(journal.queries.totals(common, self.names.index(self._agent))))

    @property
    def round(self) -> int | None:
        """The number of the round that comes next."""
        return None if self._next is None else self._next.round

    @property
    def totals(self) -> Totals:
        """Numbers of the rounds that were taken so far."""
        return Totals(*self._counts)

    def take(self) -> dict[str, _ComparedTurn]:
        """Return the turns of the round that comes next, by agent."""
        record, self._next = self._next, next(self._rounds, None)
        if record is None:
            return {}
        self._change(record)
        self._deliver(record, inputs=True)
        turns = {self.names[turn.place]: self._turn(record, turn) for turn in record.turns}
        turns |= {self.names[park.place]: self._park(park) for park in record.parks}
        self._deliver(record, inputs=False)
        for turn in record.turns:
            for name in turn.output.stop if turn.output is not None else ():
                self.stoppers.setdefault(name, self.names[turn.place])
            if self._agent in (None, self.names[turn.place]):
                self._count(turn)
        return turns

    def _count(self, turn: TurnRecord) -> None:
        tokens = sum([len(effect.tokens or ()) for effect in turn.effects])
        sent = 0 if turn.output is None else len(turn.output.send)
        numbers = 1, turn.output is None, sent, len(turn.effects), tokens, turn.fuel
        self._counts = [total + number for total, number in zip(self._counts, numbers, strict=True)]

    def _change(self, record: RoundRecord) -> None:
        """Note what was changed from outside, and which agents it concerns."""
        self.touched = set()
        for change in record.changes:
            words = change_text(change, self.names.__getitem__)
            self.changes.append((record.round, words))
            for place, (name, kind) in enumerate(zip(self.names, self._kinds, strict=True)):
                if concerns(change, place, kind, self.journal.queries.message):
                    self.touched.add((name, words))
        for answer in record.answers:
            found = self.journal.rounds.parks.question(answer.question)
            if found is None:
                raise damaged(self.journal.path, f"there is an answer to question {answer.question}, and no question")
            name = self.names[found[1]]
            words = f"answer to {name}: {answer_text(answer.reply)}"
            self.changes.append((record.round, words))
            self.touched.add((name, words))

    def _deliver(self, record: RoundRecord, *, inputs: bool) -> None:
        for message in record.inputs if inputs else record.messages:
            sender = OUTSIDE if message.sender is None else self.names[message.sender]
            if message.recipients:
                self._unread[message.seq] = (sender, message.to, message.body), len(message.recipients)
            if message.to not in self.parents:  # a group, since it is the name of no agent
                self.sent[sender, message.to, message.body] += 1

    def _read(self, seq: int) -> _Message:
        if seq not in self._unread:
            raise damaged(self.journal.path, f"message {seq} was read by an agent that it was not sent to")
        message, readers = self._unread[seq]
        if readers == 1:
            del self._unread[seq]
        else:
            self._unread[seq] = message, readers - 1
        return message

    def _park(self, park: ParkRecord) -> _ComparedTurn:
        """A turn that waits for answers; what it has read is compared when it is over."""
        facts: list[tuple[str, object]] = []
        for effect in park.effects:
            facts.append((f"effect {effect.index}: request", effect.request))
            facts.append((f"effect {effect.index}: reply", effect.reply))
        facts.append(("asked", [(asked.request, asked.deadline) for asked in park.questions]))
        return _ComparedTurn(tuple(facts), (), (park.turn, None), park.effects)

    def _turn(self, record: RoundRecord, turn: TurnRecord) -> _ComparedTurn:
        read = tuple([self._read(seq) for seq in turn.inbox])
        facts: list[tuple[str, object]] = [("read", read)]
        for effect in turn.effects:
            facts.append((f"effect {effect.index}: request", effect.request))
            facts.append((f"effect {effect.index}: reply", effect.reply))
        facts.append(("failure", None if turn.failure is None else str(turn.failure.kind)))
        standing: tuple[object, ...] = (turn.turn, None)
        if turn.output is not None:
            output = turn.output
            facts += [
                ("stdout", turn.stdout),
                ("log", [(line.level, line.text) for line in output.log]),
                ("record", [(entry.name, entry.value) for entry in output.record]),
                ("sent", [(sent.to, sent.body) for sent in output.send]),
                ("wake_in", output.wake_in),
                ("spawn", [(child.kind, child.name, child.args, child.state) for child in output.spawn]),
                ("stop", output.stop),
                ("finish", output.finish),
                ("state", output.state),
            ]
            standing = turn.turn, output.state, output.wake_in
        return _ComparedTurn(tuple(facts), read, standing, turn.effects)


def diff(left: Path, right: Path, agent: str | None = None, *, parents: Sequence[Path] = ()) -> Diff:
    """Compare two journals; `agent` keeps the turns of one agent only. Raises `JournalError` if one is damaged.

    `parents` are files, and folders, in which to look for what forks go on from, if that was moved.
    """
    with ExitStack() as stack:
        sides = [stack.enter_context(Journal.open(path, parents=parents)) for path in (left, right)]
        for journal in sides:
            journal.chains.check_links()
        common = _common(*sides)
        left_side, right_side = [_Side(journal, agent, common) for journal in sides]
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
    def __init__(self, left: _Side, right: _Side, common: int) -> None:
        self._common = common
        self._left = left
        self._right = right
        self._apart: set[str] = set()
        self._changed: set[str] = set()
        self._reached: dict[str, int] = {}
        self._sent: Counter[_Message] = Counter()
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
            plan=tuple(_plan_changes(self._left.journal, self._right.journal)),
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

    def _causes(self, name: str, left: _ComparedTurn | None, right: _ComparedTurn | None) -> _Origins:
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
    number: int, name: str, left: _ComparedTurn | None, right: _ComparedTurn | None, from_: _Origins
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
    parts = next((parting(*pair) for pair in effects if one[0] == f"effect {pair[0].index}: reply"), None)
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


def _plan_changes(left: Journal, right: Journal) -> Iterator[tuple[str, object, object]]:
    """Members of the plans that differ, named by their path."""
    found = _changes("", *(json.loads(plan_to_json(of.header.plan_at())) for of in (left, right)))
    for number, change in enumerate(found):
        if number == PLAN_CHANGES_MAX:
            return
        yield change


def _changes(path: str, left: Any, right: Any) -> Iterator[tuple[str, object, object]]:
    if left == right and type(left) is type(right):
        return
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            yield from _changes(f"{path}.{key}" if path else key, left.get(key), right.get(key))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (mine, other) in enumerate(zip(left, right, strict=True)):
            name = mine.get("name", index) if isinstance(mine, dict) else index
            yield from _changes(f"{path}[{name}]", mine, other)
    else:
        yield path, left, right
