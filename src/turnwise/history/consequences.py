"""Consequences of something in a run: traced forwards over what the journal holds, as `why` traces backwards.

A turn leads to the messages that it sent, the agents that it spawned, and its agent's next turn, which has its state; a
message to the turns that read it. All of it is recorded: nothing says which of it made a difference. Each turn is told
once, as near to what is explained as it can be.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal

from turnwise.core.records import AgentRecord, MessageRecord, TurnRecord
from turnwise.errors import UsageError
from turnwise.journal import Journal

CONSEQUENCES_MAX: Final = 2_000
"""Consequences of one answer in all; once there are as many, no further turn is followed."""
READERS_MAX: Final = 50
"""Readers of one message that are followed; the others are counted."""
TURNS_AHEAD_MAX: Final = 100
"""Turns of a recipient in which a message is looked for: mail that does not fit one waits for the next."""

ConsequenceKind = Literal["turn", "message", "spawned"]


@dataclass(slots=True, eq=False, repr=False)  # both would recurse as deep as the tree
class Consequence:
    """Something that happened, and what followed from it: a tree."""

    kind: ConsequenceKind
    """Kind: a `spawned` agent is told with the turn that spawned it."""
    round: int
    """Round in which it was."""
    agent: str
    """Agent whose turn it was; of a message: who sent it."""
    text: str
    """Body of a message, the reason why a turn failed; else empty."""
    follows: list[Consequence] = field(default_factory=list)
    """Consequences of it."""
    told: bool = True
    """False for a turn whose consequences are not in `follows`: they stand elsewhere in the tree, or lie too deep."""
    hidden: int = 0
    """Readers of a message that are not told."""


def follow(
    journal: Journal, agent: str | None = None, round_: int | None = None, *, message: int | None = None, depth: int = 3
) -> Consequence:
    """Follow a turn (`agent` and `round_`) or a message (by its number) forwards.

    `depth` bounds how many turns behind each other are followed. Raises UsageError for what is not in the run.
    """
    following = _Following(journal, depth)
    if message is not None:
        totals = journal.rounds.totals()
        if not 0 <= message < totals.messages + totals.inputs:
            raise UsageError(f"there is no message {message} in this run", where="message", actual=message)
        root = following.message(journal.queries.message(message), 0)
    else:
        if agent is None or round_ is None:
            raise UsageError("name what is to be followed", hint="A message, or an agent and a round.")
        place = journal.queries.agent(agent).place
        turn = next((found for _, found in journal.queries.turns(place, round_)), None)
        if turn is None:
            raise UsageError(f"{agent} has no turn in round {round_}", where="round", actual=round_)
        root = following.turn(round_, turn, 0)
    following.go_on()
    return root


class _Following:
    """One answer: turns that wait to be followed, and those that were."""

    def __init__(self, journal: Journal, depth: int) -> None:
        self._journal = journal
        self._depth = depth
        self._agents: list[AgentRecord] = list(journal.queries.agents())
        self._spawned: dict[tuple[int | None, int], list[AgentRecord]] = {}
        for agent in self._agents:
            self._spawned.setdefault((agent.parent, agent.born), []).append(agent)
        self._open: deque[tuple[Consequence, TurnRecord, int]] = deque()
        self._told: set[tuple[int, int]] = set()
        self._count = 0

    def turn(self, round_: int, turn: TurnRecord, depth: int) -> Consequence:
        """A turn, whose consequences are found later."""
        text = f"failed: {turn.failure.kind}" if turn.failure is not None else ""
        node = Consequence("turn", round_, self._agents[turn.place].name, text)
        self._open.append((node, turn, depth))
        return node

    def message(self, message: MessageRecord, depth: int) -> Consequence:
        """A message, and the turns that read it."""
        sender = "outside" if message.sender is None else self._agents[message.sender].name
        node = Consequence("message", message.round, sender, message.body)
        for place in message.recipients[:READERS_MAX]:
            read = self._read(message, place)
            if read is not None:
                node.follows.append(self.turn(*read, depth))
        node.hidden = max(0, len(message.recipients) - READERS_MAX)
        return node

    def go_on(self) -> None:
        """Follow all turns that wait, the nearest first."""
        while self._open:
            node, turn, depth = self._open.popleft()
            key = node.round, turn.place
            if key in self._told or depth >= self._depth or self._count >= CONSEQUENCES_MAX:
                node.told = False
                continue
            self._told.add(key)
            self._follow(node, turn, depth + 1)
            self._count += len(node.follows)

    def _follow(self, node: Consequence, turn: TurnRecord, depth: int) -> None:
        for sent in self._journal.grid.sent_by(turn.place, node.round):
            node.follows.append(self.message(sent, depth))
        for agent in self._spawned.get((turn.place, node.round), ()):
            first = self._next(agent.place, node.round)
            follows = [] if first is None else [self.turn(*first, depth)]
            node.follows.append(Consequence("spawned", node.round, agent.name, "", follows))
        after = self._next(turn.place, node.round)
        if after is not None:
            node.follows.append(self.turn(*after, depth))

    def _next(self, place: int, round_: int) -> tuple[int, TurnRecord] | None:
        number = self._journal.grid.turn_after(place, round_)
        if number is None:
            return None
        return next(iter(self._journal.queries.turns(place, number)))

    def _read(self, message: MessageRecord, place: int) -> tuple[int, TurnRecord] | None:
        """The turn in which a recipient read a message; None if it has not yet, or never did."""
        at = message.round
        for _ in range(TURNS_AHEAD_MAX):
            found = self._next(place, at)
            if found is None or message.seq in found[1].inbox:
                return found
            at = found[0]
        return None
