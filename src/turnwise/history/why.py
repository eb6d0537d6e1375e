"""Causes of something in a run: traced backwards over what the journal holds, to any depth.

A turn follows from its agent's state (its turn before), the messages that it read (the turns that sent them), the
answers to its effects, what was changed from outside since the turn before, and, if it is the first, from who spawned
the agent. All of it is recorded: nothing is guessed,
and nothing says which of these causes mattered.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from turnwise.core.records import AgentRecord, ChangeRecord, MessageRecord, TurnRecord
from turnwise.errors import UsageError
from turnwise.history.outside_changes import change_text, concerns
from turnwise.journal import Journal

DEPTH_MAX: Final = 200
"""Turns behind each other that are followed at most."""

CAUSES_MAX: Final = 10_000
"""Causes of one answer in all."""

CauseKind = Literal["turn", "message", "record", "effect", "change", "world"]


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that happened, and what it came from.

    `kind` is `turn`, `message`, `record`, `effect` (an answer), `change` (by a fork, before
    the turn), or `world` (an agent that was there from the beginning).
    `round` is the round in which it was, 0 for the world; `agent` whose it was (of a message: who sent it,
    `outside` if nobody of the run did). `text` is what there is to say: a body, a value, a reply, a state. `causes` are
    empty where nothing of the run is behind it; where `told` is false, they stand elsewhere in the same tree, or lie
    deeper than was asked for.
    """

    kind: CauseKind
    round: int
    agent: str
    text: str
    causes: tuple[Cause, ...] = ()
    told: bool = True


def why(
    journal: Path,
    agent: str | None = None,
    round_: int | None = None,
    *,
    message: int | None = None,
    record: str | None = None,
    depth: int = 3,
) -> Cause:
    """Follow a turn (`agent` and `round_`), a value that it recorded (`record`), or a message (by its number) back.

    `depth` bounds how many turns behind each other are followed. Raises `UsageError` for what is not in the run.
    """
    if not 1 <= depth <= DEPTH_MAX:
        raise UsageError(f"a depth of {depth} is not possible", where="--depth", hint=f"Give 1 to {DEPTH_MAX}.")
    with Journal.open(journal) as opened:
        opened.chains.check_links()
        tracing = _Tracing(opened)
        if message is not None:
            if not 0 <= message < tracing.messages:
                hint = f"The run has messages 0 to {tracing.messages - 1}." if tracing.messages else "It has none."
                raise UsageError(f"there is no message {message} in this run", where="--message", hint=hint)
            return tracing.message(opened.queries.message(message), depth)
        if agent is None or round_ is None:
            raise UsageError("name what is to be explained", hint="Give --agent and --round, or --message.")
        found = tracing.turn_of(agent, round_)
        if record is None:
            return tracing.turn(round_, found, depth)
        values = [
            entry.value for entry in (found.output.record if found.output is not None else ()) if entry.name == record
        ]
        if not values:
            where, hint = "--record", f"turnwise log --agent {agent} --round {round_} shows what it did."
            raise UsageError(f"{agent} recorded no {record} in round {round_}", where=where, hint=hint)
        text = f"{record} = {', '.join(str(value) for value in values)}"
        return Cause("record", round_, agent, text, (tracing.turn(round_, found, depth),))


class _Tracing:
    """One answer: which turns and messages have been told already, and how many causes there are."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._agents: list[AgentRecord] = list(journal.queries.agents())
        self._changed = [
            (round_, entry)
            for round_, entries in journal.rounds.coming(1, journal.rounds.last_round).items()
            for entry in entries
            if isinstance(entry, ChangeRecord)
        ]
        self._told: set[tuple[int, int]] = set()
        self._count = 0
        self.messages = sum(summary.messages + summary.inputs for summary in journal.rounds.summaries())

    def turn_of(self, agent: str, round_: int) -> TurnRecord:
        """Return the turn of an agent in a round."""
        place = self._journal.queries.agent(agent).place
        self._journal.rounds.summary(round_)
        for _, turn in self._journal.queries.turns(place, round_):
            return turn
        hint = f"turnwise log --agent {agent} shows its turns."
        raise UsageError(f"{agent} has no turn in round {round_}", where="--round", hint=hint)

    def turn(self, round_: int, turn: TurnRecord, depth: int) -> Cause:
        """Trace a turn, and all that it follows from."""
        name = self._agents[turn.place].name
        text = f"failed: {turn.failure.kind}" if turn.failure is not None else ""
        key = round_, turn.place
        if depth == 0 or key in self._told or self._count > CAUSES_MAX:
            return Cause("turn", round_, name, text, told=False)
        self._told.add(key)
        causes = [self.message(self._journal.queries.message(seq), depth) for seq in turn.inbox]
        causes += [Cause("effect", round_, name, effect.reply) for effect in turn.effects]
        before = self._journal.queries.turn_before(turn.place, round_)
        causes += self._changes(turn.place, 0 if before is None else before[0], round_)
        causes.append(self._before(before, turn, depth))
        self._count += len(causes)
        return Cause("turn", round_, name, text, tuple(causes))

    def message(self, message: MessageRecord, depth: int) -> Cause:
        """Trace a message, and the turn that sent it."""
        if message.sender is None:
            return Cause("message", message.round, "outside", message.body)
        sender = self._agents[message.sender]
        for _, turn in self._journal.queries.turns(sender.place, message.round):
            behind = (self.turn(message.round, turn, depth - 1),)
            return Cause("message", message.round, sender.name, message.body, behind)
        return Cause("message", message.round, sender.name, message.body)

    def _changes(self, place: int, after: int, last: int) -> list[Cause]:
        """Changes from outside that concern an agent, of the rounds between two of its turns, the later included."""
        agent = self._agents[place]
        return [
            Cause("change", round_, agent.name, change_text(change, lambda at: self._agents[at].name))
            for round_, change in self._changed
            if after < round_ <= last and concerns(change, place, agent.kind, self._journal.queries.message)
        ]

    def _before(self, before: tuple[int, TurnRecord] | None, turn: TurnRecord, depth: int) -> Cause:
        """Trace an agent before a turn: to its turn before, to the agent that spawned it, or to the world."""
        if before is not None:
            return self.turn(*before, depth - 1)
        agent = self._agents[turn.place]
        if agent.parent is None:
            return Cause("world", 0, agent.name, agent.args)
        for _, spawning in self._journal.queries.turns(agent.parent, agent.born):
            return self.turn(agent.born, spawning, depth - 1)
        return Cause("world", agent.born, agent.name, agent.args)
