"""Rows of a run, as the reader of its journal sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from turnwise.core.records import EffectRecord
from turnwise.core.turn import Failure, TurnOutput
from turnwise.journal.file.times import Span

Status = Literal["finished", "quiet", "rounds_max", "failed", "open"]
"""End of a run; `open` if no end is recorded: it was interrupted, has crashed, or is still under way."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunAgent:
    """An agent of a run.

    `name` and `kind` are as in the world, `place` is its number, `args` its arguments; `born` is the round that spawned
    it, 0 for the world file's, and `parent` the name of the agent that did.
    """

    name: str
    kind: str
    place: int
    args: dict[str, Any]
    born: int
    parent: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a run."""

    seq: int
    """Number of the message in the run, from 0."""
    round: int
    """Round in which it was sent; it can be read from the next on."""
    sender: str
    """Name of the agent that sent it, or `outside`."""
    to: str
    """Agent or group that it was sent to."""
    body: str
    """Text of the message."""
    recipients: tuple[str, ...]
    """Names of the agents that get it; none for a dead letter."""
    attach: str | None
    """Handle of a content that comes with it, or None."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of an agent."""

    round: int
    """Round of the turn."""
    agent: str
    """Name of the agent."""
    turn: int
    """Number of the turn among the agent's own, from 1."""
    inbox: tuple[int, ...]
    """Sequence numbers of the messages that it read."""
    output: TurnOutput | None
    """Output that it left; None exactly when `failure` is not."""
    failure: Failure | None
    """Reason why it failed, or None."""
    effects: tuple[EffectRecord, ...]
    """Effects that it asked for, with the replies."""
    stdout: str
    """Text that it printed."""
    fuel: int
    """WebAssembly instructions of all its executions."""


@dataclass(frozen=True, slots=True)
class Park:
    """A round after which a turn waited for answers from outside. The turn itself stands with the round of its end."""

    round: int
    """Round after which it waited."""
    agent: str
    """Name of the agent."""
    turn: int
    """Number of the turn among the agent's own, from 1."""
    inbox: tuple[int, ...]
    """Sequence numbers of the messages that it has; they count as unread until it ends."""
    questions: tuple[int, ...]
    """Numbers of the questions that it waits for."""
    effects: tuple[EffectRecord, ...]
    """Effects that were answered in this round, with the replies."""
    fuel: int
    """WebAssembly instructions of its executions in this round."""


@dataclass(frozen=True, slots=True)
class RunQuestion:
    """A question to people that an agent of a run has asked."""

    id: int
    """Number of the question in the run, from 1."""
    round: int
    """Round in which it was asked."""
    agent: str
    """Name of the agent that asks."""
    kind: str
    """Kind of the effect: `ask`."""
    text: str
    """Words of the question."""
    request: str
    """Effect that it is, with schema and default: canonical JSON."""
    deadline: int | None
    """Round from which on its default is taken; None: it waits for as long as it takes."""
    answered: int | None
    """Round that began with its answer; None if nobody answered."""
    reply: str | None
    """Reply with that answer, canonical JSON; None if nobody answered."""


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """An answer to a question to people."""

    round: int
    """Round that began with it."""
    question: int
    """Number of the question."""
    agent: str
    """Name of the agent that asked."""
    value: Any
    """JSON value of the answer; None where the reply has none."""
    reply: str
    """Reply that the agent is given, canonical JSON."""


@dataclass(frozen=True, slots=True)
class RecordedValue:
    """A value that an agent recorded with `record(name, value)`."""

    round: int
    """Round in which it did."""
    agent: str
    """Name of the agent."""
    name: str
    """Name that the agent gave."""
    value: float | int | str
    """Value that it recorded."""


@dataclass(frozen=True, slots=True)
class RoundTiming:
    """Times of a round by the clock, which nothing proves. Spans count from `started_us`."""

    round: int
    """Number of the round."""
    started_us: int
    """Wall-clock time of its beginning, microseconds since 1970-01-01 UTC."""
    duration_us: int
    """Time until the end of its last turn."""
    turns: dict[str, Span]
    """Spans by agent, from the first execution to the end of the last."""
    effects: dict[tuple[str, int], Span]
    """Spans by agent and index of the effect, from asking to the answer."""
    waves: dict[int, Span]
    """Spans by number of the wave."""
    commit: Span | None
    """Span of making the round durable; None if it is not known."""


class Rows(Iterable[T], Generic[T]):
    """Rows of a journal: iterate as often as you like, each time from the start; `len` counts without reading all."""

    __slots__ = ("_count", "_iterate")

    def __init__(self, iterate: Callable[[], Iterator[T]], count: Callable[[], int]) -> None:
        self._iterate = iterate
        self._count = count

    def __iter__(self) -> Iterator[T]:
        return self._iterate()

    def __len__(self) -> int:
        return self._count()
