"""Causes of something in a run: traced backwards over what the journal holds, to any depth.

A turn follows from its agent's state (its turn before), the messages that it read (the turns that sent them), the
answers to its effects, what was changed from outside since the turn before, and, if it is the first, from who spawned
the agent. All of it is recorded: nothing is guessed, and nothing says which of these causes mattered.

Each turn is told once, as near to what is explained as it can be: the nearest turns are followed first. Turns that are
not followed any more, for they lie too deep or there are too many causes, say how many others lie behind them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from turnwise.core.plan import OUTSIDE
from turnwise.core.question import ASK, question_text
from turnwise.core.records import AgentRecord, ChangeRecord, EffectRecord, MessageRecord, TurnRecord
from turnwise.errors import UsageError
from turnwise.history.hidden import hidden_turns
from turnwise.history.outside_changes import answer_text, change_text, concerns
from turnwise.journal import Journal

CAUSES_MAX: Final = 10_000
"""Causes of one answer in all; once there are as many, no further turn is followed."""

CauseKind = Literal["turn", "message", "record", "effect", "answer", "change", "world"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)  # both would recurse as deep as the tree
class Cause:
    """Something that happened, and what it came from: a tree, which may be thousands of causes deep."""

    kind: CauseKind
    """Kind: an `effect` is a model's answer, an `answer` a person's, a `change` one by a fork before the turn, and a
    `world` an agent of the beginning."""
    round: int
    """Round in which it was; 0 for the world."""
    agent: str
    """Agent whose it was; of a message: who sent it, `outside` if nobody of the run did."""
    text: str
    """Text of it: a body, a value, a reply, a state."""
    causes: tuple[Cause, ...] = ()
    """Causes of it; none where nothing of the run is behind it."""
    told: bool = True
    """False for a turn whose causes are not in `causes`: they stand elsewhere in the tree, or are not told."""
    hidden: int | None = None
    """Number of turns behind one whose causes are told nowhere; a turn behind several counts at the first alone."""

    def walk(self) -> Iterator[tuple[int, Cause]]:
        """Yield the cause and all behind it with their levels, each before what it came from."""
        stack = [(0, self)]
        while stack:
            level, cause = stack.pop()
            yield level, cause
            stack += [(level + 1, behind) for behind in reversed(cause.causes)]

    def __repr__(self) -> str:
        return f"Cause({self.kind!r}, {self.round!r}, {self.agent!r}, {self.text!r}, <{len(self.causes)} causes>)"


def why(
    journal: Path,
    agent: str | None = None,
    round_: int | None = None,
    *,
    message: int | None = None,
    record: str | None = None,
    depth: int = 3,
    parents: Sequence[Path] = (),
) -> Cause:
    """Follow a turn (`agent` and `round_`), a value that it recorded (`record`), or a message (by its number) back.

    `depth` bounds how many turns behind each other are followed. `parents` are files, and folders, in which to look for
    what a fork goes on from, if that was moved. Raises `UsageError` for what is not in the run.
    """
    if depth < 1:
        raise UsageError(f"a depth of {depth} is not possible", where="--depth", hint="Give 1 or more.")
    with Journal.open(journal, parents=parents) as opened:
        opened.chains.check_links()
        tracing = _Tracing(opened, depth)
        if message is not None:
            if not 0 <= message < tracing.messages:
                hint = f"The run has messages 0 to {tracing.messages - 1}." if tracing.messages else "It has none."
                raise UsageError(f"there is no message {message} in this run", where="--message", hint=hint)
            return tracing.tree(tracing.message(opened.queries.message(message), 0))
        if agent is None or round_ is None:
            raise UsageError("name what is to be explained", hint="Give --agent and --round, or --message.")
        found = tracing.turn_of(agent, round_)
        if record is None:
            return tracing.tree(tracing.turn(round_, found, 0))
        values = [
            entry.value for entry in (found.output.record if found.output is not None else ()) if entry.name == record
        ]
        if not values:
            where, hint = "--record", f"turnwise log --agent {agent} --round {round_} shows what it did."
            raise UsageError(f"{agent} recorded no {record} in round {round_}", where=where, hint=hint)
        text = f"{record} = {', '.join(str(value) for value in values)}"
        return tracing.tree(_OpenCause("record", round_, agent, text, [tracing.turn(round_, found, 0)]))


@dataclass(slots=True)
class _OpenCause:
    """A cause whose own causes are still being found."""

    kind: CauseKind
    round: int
    agent: str
    text: str
    causes: list[_OpenCause] = field(default_factory=list)
    told: bool = True
    hidden: int | None = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A turn in the tree that has not been followed yet, `depth` turns behind the first."""

    node: _OpenCause
    turn: TurnRecord
    depth: int


class _Tracing:
    """One answer: turns that wait to be followed, those that were, and how many causes there are."""

    def __init__(self, journal: Journal, depth: int) -> None:
        self._journal = journal
        self._depth = depth
        self._agents: list[AgentRecord] = list(journal.queries.agents())
        self._changed = [
            (round_, entry)
            for round_, entries in journal.rounds.coming(1, journal.rounds.last_round).items()
            for entry in entries
            if isinstance(entry, ChangeRecord)
        ]
        self._open: deque[_Waiting] = deque()
        self._count = 0
        totals = journal.rounds.totals()
        self.messages = totals.messages + totals.inputs

    def turn_of(self, agent: str, round_: int) -> TurnRecord:
        """Return the turn of an agent in a round."""
        place = self._journal.queries.agent(agent).place
        self._journal.rounds.summary(round_)
        for _, turn in self._journal.queries.turns(place, round_):
            return turn
        hint = f"turnwise log --agent {agent} shows its turns."
        raise UsageError(f"{agent} has no turn in round {round_}", where="--round", hint=hint)

    def tree(self, root: _OpenCause) -> Cause:
        """Follow all turns that wait, the nearest first, and return what came of it."""
        told: set[tuple[int, int]] = set()
        cut: dict[tuple[int, int], _OpenCause] = {}
        while self._open:
            waiting = self._open.popleft()
            key = waiting.node.round, waiting.turn.place
            if key in told or key in cut:
                waiting.node.told = False
            elif waiting.depth == self._depth or self._count >= CAUSES_MAX:
                waiting.node.told = False
                cut[key] = waiting.node
            else:
                told.add(key)
                self._follow(waiting)
                self._count += len(waiting.node.causes)
        for key, count in hidden_turns(self._journal, self._agents, list(cut), told).items():
            cut[key].hidden = count
        return _frozen(root)

    def turn(self, round_: int, turn: TurnRecord, depth: int) -> _OpenCause:
        """A turn, whose causes are found later."""
        text = f"failed: {turn.failure.kind}" if turn.failure is not None else ""
        node = _OpenCause("turn", round_, self._agents[turn.place].name, text)
        self._open.append(_Waiting(node, turn, depth))
        return node

    def message(self, message: MessageRecord, depth: int) -> _OpenCause:
        """A message, and the turn that sent it."""
        if message.sender is None:
            return _OpenCause("message", message.round, "outside", message.body)
        sender = self._agents[message.sender]
        sent = [
            self.turn(message.round, turn, depth)
            for _, turn in self._journal.queries.turns(sender.place, message.round)
        ]
        return _OpenCause("message", message.round, sender.name, message.body, sent)

    def _follow(self, waiting: _Waiting) -> None:
        """Find what a turn follows from."""
        node, turn, depth = waiting.node, waiting.turn, waiting.depth + 1
        node.causes += [self.message(self._journal.queries.message(seq), depth) for seq in turn.inbox]
        for round_, park in self._journal.rounds.parks.parts(turn.place, turn.turn, node.round):
            node.causes += [self._effect(round_, node.agent, effect) for effect in park.effects]
        node.causes += [self._effect(node.round, node.agent, effect) for effect in turn.effects]
        before = self._journal.queries.turn_before(turn.place, node.round)
        node.causes += self._changes(turn.place, 0 if before is None else before[0], node.round)
        node.causes.append(self._before(before, turn, depth))

    def _effect(self, round_: int, agent: str, effect: EffectRecord) -> _OpenCause:
        """Return an effect as a cause: the reply of a model, or the answer of a person."""
        if effect.kind != ASK or not effect.reply.startswith('{"ok":'):
            return _OpenCause("effect", round_, agent, effect.reply)
        text = f"{question_text(effect.request)} → {answer_text(effect.reply)}"
        return _OpenCause("answer", round_, OUTSIDE, text)

    def _changes(self, place: int, after: int, last: int) -> list[_OpenCause]:
        """Changes from outside that concern an agent, of the rounds between two of its turns, the later included."""
        agent = self._agents[place]
        return [
            _OpenCause("change", round_, agent.name, change_text(change, lambda at: self._agents[at].name))
            for round_, change in self._changed
            if after < round_ <= last and concerns(change, place, agent.kind, self._journal.queries.message)
        ]

    def _before(self, before: tuple[int, TurnRecord] | None, turn: TurnRecord, depth: int) -> _OpenCause:
        """Trace an agent before a turn: to its turn before, to the agent that spawned it, or to the world."""
        if before is not None:
            return self.turn(*before, depth)
        agent = self._agents[turn.place]
        if agent.parent is not None:
            for _, spawning in self._journal.queries.turns(agent.parent, agent.born):
                return self.turn(agent.born, spawning, depth)
        return _OpenCause("world", agent.born, agent.name, agent.args)


def _frozen(root: _OpenCause) -> Cause:
    """Make causes of nodes, those behind others first; each node stands in the tree once."""
    order, stack = [], [root]
    while stack:
        node = stack.pop()
        order.append(node)
        stack += node.causes
    made: dict[int, Cause] = {}
    for node in reversed(order):
        behind = tuple([made.pop(id(cause)) for cause in node.causes])
        made[id(node)] = Cause(node.kind, node.round, node.agent, node.text, behind, node.told, node.hidden)
    return made[id(root)]
