"""The turns of a journal, told: read in order, with names instead of places, and never all of it at once."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from turnwise.core.question import question_text
from turnwise.errors import UsageError
from turnwise.history.outside_changes import answer_text, change_text

if TYPE_CHECKING:
    from turnwise.core.records import AgentRecord, MessageRecord, TurnRecord, WaveRecord
    from turnwise.journal import Journal, RoundTimes

STATES_KEPT_MAX = 10_000
MESSAGES_KEPT_MAX = 10_000
NEAR_NAMES_MAX = 3

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class TurnInContext:
    """A turn with what it refers to."""

    agent: str
    """Name of the agent."""
    kind: str
    """Kind of the agent."""
    turn: TurnRecord
    """The turn as recorded."""
    inbox: tuple[MessageRecord, ...]
    """Messages that it read."""
    sent: tuple[MessageRecord, ...]
    """Messages as they went out; none if it failed."""
    state_before: str
    """State that it began with."""
    spawned: tuple[AgentRecord, ...]
    """Agents that it spawned."""


@dataclass(frozen=True, slots=True)
class RoundInContext:
    """A round with what it refers to."""

    round: int
    """Number of the round."""
    inputs: tuple[MessageRecord, ...]
    """Messages from outside."""
    turns: Iterator[TurnInContext]
    """Turns: all, or those of one agent, if one was asked for."""
    stopped: tuple[str, ...]
    """Names of the agents that were stopped."""
    changes: tuple[str, ...] = ()
    """Changes from outside, before anybody moved, in words."""
    waves: tuple[WaveRecord, ...] = ()
    """Effects that models answered together; they belong to no single agent."""
    times: RoundTimes | None = None
    """Times, if they were asked for and recorded."""
    answers: tuple[tuple[int, str], ...] = ()
    """Answers of people, before anybody moved: the number of the question, and what was answered."""
    waits: tuple[tuple[str, int, str], ...] = ()
    """Questions that turns were left waiting with: agent, number and words."""


class JournalTurns:
    """Rounds in context. Keeps the names of all agents, and the latest states and messages within bounds."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._agents: list[AgentRecord] = []
        self._places: dict[str, int] = {}
        self._states: _Kept[int, tuple[int, str]] = _Kept(STATES_KEPT_MAX)
        self._messages: _Kept[int, MessageRecord] = _Kept(MESSAGES_KEPT_MAX)
        self.read_spawned()

    def name(self, place: int | None) -> str:
        """Return the name of the agent at a place; `outside` for None."""
        return "outside" if place is None else self._agents[place].name

    def agent(self, name: str) -> AgentRecord:
        """Return the agent of this name. Raises UsageError, with the names that are near, if there is none."""
        place = self._places.get(name)
        if place is not None:
            return self._agents[place]
        near = difflib.get_close_matches(name, list(islice(self._places, 100_000)), n=NEAR_NAMES_MAX)
        first = ", ".join(list(self._places)[:12])
        more = f" and {len(self._places) - 12:,} more" if len(self._places) > 12 else ""
        hint = f"Did you mean {' or '.join(near)}?" if near else f"The run has: {first}{more}."
        raise UsageError(f"there is no agent {name!r} in this run", where="--agent", actual=name, hint=hint)

    def read_spawned(self) -> None:
        """Read the agents that came into the world since the journal was opened, while the run goes on."""
        for agent in islice(self._journal.queries.agents(), len(self._agents), None):
            self._places[agent.name] = len(self._agents)
            self._agents.append(agent)

    def rounds(
        self,
        *,
        agent: str | None = None,
        round_: int | None = None,
        first: int = 1,
        last: int | None = None,
        times: bool = False,
    ) -> Iterator[RoundInContext]:
        """Yield the rounds from `first` to `last` (default: the newest), in order.

        Only those in which `agent` has a turn, and only `round_`, where these are given.
        Whole rounds are compared with the chains as they are read; turns of one agent are not.
        """
        journal = self._journal
        if agent is not None:
            place = self.agent(agent).place
            for number, turn in journal.queries.turns(place, round_):
                if number < first or (last is not None and number > last):
                    continue
                told = iter([self._told(number, turn, self._sent(number, turn))])
                yield RoundInContext(number, (), told, (), times=journal.timings.round(number) if times else None)
            return
        if round_ is not None:
            first = last = round_
        elif last is None:
            last = journal.rounds.last_round
        for record in journal.chains.rounds(first, last):
            sent: dict[int | None, list[MessageRecord]] = {}
            for message in record.messages:
                self._messages.keep(message.seq, message)
                sent.setdefault(message.sender, []).append(message)
            for message in record.inputs:
                self._messages.keep(message.seq, message)
            turns = (self._told(record.round, turn, sent.get(turn.place, [])) for turn in record.turns)
            stopped = tuple(self.name(place) for place in record.stopped)
            spans = journal.timings.round(record.round) if times else None
            changes = tuple([change_text(change, self.name) for change in record.changes])
            answers = tuple([(answer.question, answer_text(answer.reply)) for answer in record.answers])
            waits = tuple(
                [
                    (self.name(park.place), question.id, question_text(question.request))
                    for park in record.parks
                    for question in park.questions
                ]
            )
            yield RoundInContext(
                record.round, record.inputs, turns, stopped, changes, record.waves, spans, answers, waits
            )

    def _sent(self, round_: int, turn: TurnRecord) -> list[MessageRecord]:
        """Return the messages of one turn, from among those of its round."""
        if turn.output is None or not turn.output.send:
            return []
        summary = self._journal.rounds.summary(round_)
        first = summary.message_first or 0
        messages = islice(self._journal.queries.messages(first), summary.inputs + summary.messages)
        return [message for message in messages if message.sender == turn.place]

    def _told(self, round_: int, turn: TurnRecord, sent: list[MessageRecord]) -> TurnInContext:
        agent = self._agents[turn.place]
        before = self._state_before(round_, turn)
        children = turn.output.spawn if turn.output is not None else ()
        return TurnInContext(
            agent=agent.name,
            kind=agent.kind,
            turn=turn,
            inbox=tuple([self._messages.get(seq, self._journal.queries.message) for seq in turn.inbox]),
            sent=tuple(sent),
            state_before=before,
            spawned=tuple([self.agent(child.name) for child in children]),
        )

    def _state_before(self, round_: int, turn: TurnRecord) -> str:
        """Return the state that a turn began with. Turns of an agent are mostly asked for one after the other."""
        kept = self._states.find(turn.place)
        if kept is not None and kept[0] == turn.turn - 1:
            state = kept[1]
        elif turn.turn == 1:
            state = self._agents[turn.place].state
        else:
            state = self._journal.world.state_at(turn.place, round_ - 1)
        self._states.keep(turn.place, (turn.turn, state if turn.output is None else turn.output.state))
        return state


class _Kept(Generic[Key, Value]):
    """The latest so many values by key."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def keep(self, key: Key, value: Value) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._bound:
            self._values.popitem(last=False)

    def find(self, key: Key) -> Value | None:
        return self._values.get(key)

    def get(self, key: Key, fetch: Callable[[Key], Value]) -> Value:
        value = self._values.get(key)
        if value is None:
            value = fetch(key)
            self.keep(key, value)
        return value
