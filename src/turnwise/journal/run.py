"""A run, as the reader of its journal sees it: typed, lazy, and never in memory as a whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

from turnwise.core.head import genesis
from turnwise.core.plan import OUTSIDE, Plan
from turnwise.core.plan_json import plan_from_json
from turnwise.core.promise import Promise, weakest
from turnwise.core.records import EffectRecord, RoundRecord, TurnRecord, WaveRecord
from turnwise.core.turn import Failure, TurnOutput
from turnwise.journal.journal import Journal
from turnwise.journal.read.recorded_numeric import recorded_numeric

Status = Literal["finished", "quiet", "rounds_max", "failed", "open"]
"""How a run ended; `open` if no end is recorded: it was interrupted, has crashed, or is still under way."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent. `args` is a JSON object; `born` is the round that spawned it, 0 for the world file's."""

    name: str
    kind: str
    place: int
    args: dict[str, Any]
    born: int
    parent: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """A message. `sender` is `outside` for those that no agent sent; `recipients` is empty for a dead letter."""

    seq: int
    round: int
    sender: str
    to: str
    body: str
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn. `output` is None exactly when `failure` is not. `inbox` holds sequence numbers of messages."""

    round: int
    agent: str
    turn: int
    inbox: tuple[int, ...]
    output: TurnOutput | None
    failure: Failure | None
    effects: tuple[EffectRecord, ...]
    stdout: str
    fuel: int


@dataclass(frozen=True, slots=True)
class Record:
    """What an agent recorded with `record(name, value)`."""

    round: int
    agent: str
    name: str
    value: float | int | str


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


class Run:
    """A journal, opened for reading. A context manager; closes twice without harm."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.path: Path = journal.path
        self.rounds: Rows[RoundRecord] = Rows(journal.rounds.between, lambda: self._count("rounds"))
        self.turns: Rows[Turn] = Rows(self._turns, lambda: self._sum("turns"))
        self.messages: Rows[Message] = Rows(self._messages, lambda: self._count("messages"))
        self.records: Rows[Record] = Rows(self._records, lambda: self._sum("records"))
        self.agents: Rows[Agent] = Rows(self._agents, lambda: len(self._names))
        self.failures: Rows[Turn] = Rows(self._failures, lambda: self._sum("failed"))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a journal. Raises `JournalError` for what is not one."""
        return cls(Journal.open(path))

    @cached_property
    def plan(self) -> Plan:
        return plan_from_json(self._journal.header.plan)

    @property
    def world_name(self) -> str:
        return self.plan.name

    @property
    def seed(self) -> int:
        return self.plan.seed

    @property
    def head(self) -> str:
        """The hash (64 hex digits) that says which run this is; before the first round, that of its plan."""
        return (self._journal.rounds.head or genesis(self.plan)).hex()

    @property
    def execution(self) -> str | None:
        """The execution digest (64 hex digits): how it was carried out. None before the first round."""
        last = self._journal.rounds.last_round
        return self._journal.rounds.summary(last).execution.hex() if last else None

    @property
    def status(self) -> Status:
        end = self._journal.rounds.end_record
        return end.reason if end is not None else "open"

    @property
    def result(self) -> Any:
        """What `finish` was given, a JSON value; else None."""
        end = self._journal.rounds.end_record
        return None if end is None or end.result is None else json.loads(end.result)

    @property
    def message(self) -> str | None:
        """Why the run failed, if it did."""
        end = self._journal.rounds.end_record
        return end.message if end is not None else None

    @property
    def versions(self) -> str:
        """JSON of all that executed the run when it was started."""
        return self._journal.header.versions

    @property
    def numeric_classes(self) -> dict[str, Promise]:
        """Of each language model, what was observed where the run was carried out; the weakest if it was continued."""
        found: dict[str, Promise] = {}
        for writer in self._journal.header.writers():
            for model, numeric in recorded_numeric(writer.versions, self.path).items():
                found[model] = weakest((numeric.promise, found.get(model, numeric.promise)))
        return found

    @property
    def promise(self) -> Promise:
        """What its models give when they are asked again on the same machine with the same versions."""
        return weakest(self.numeric_classes.values())

    @property
    def last_round(self) -> int:
        """The number of the last round that was committed; 0 before the first."""
        return self._journal.rounds.last_round

    def turn(self, round_: int, agent: str) -> Turn | None:
        """One agent's turn in one round."""
        place = self._journal.queries.agent(agent).place
        for number, record in self._journal.queries.turns(place, round_):
            return self._turn(number, record)
        return None

    def state(self, agent: str, at_round: int | None = None) -> str:
        """An agent's state after a round (default: the last), as the text that it returned."""
        last = self._journal.rounds.last_round if at_round is None else at_round
        return self._journal.world.state_at(self._journal.queries.agent(agent).place, last)

    def close(self) -> None:
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Run of {self.world_name!r}: {self.status} after round {self.last_round}, head {self.head[:12]}>"

    def waves(self, round_: int) -> tuple[WaveRecord, ...]:
        """What models of class `plan-bound` answered together in a round, in order."""
        return self._journal.rounds.waves(round_)

    # -- rows --------------------------------------------------------------------------------------------------

    @property
    def _names(self) -> list[str]:
        return [agent.name for agent in self._journal.queries.agents()]

    def _agents(self) -> Iterator[Agent]:
        names: list[str] = []
        for agent in self._journal.queries.agents():
            names.append(agent.name)
            parent = None if agent.parent is None else names[agent.parent]
            yield Agent(agent.name, agent.kind, agent.place, json.loads(agent.args), agent.born, parent)

    def _turn(self, round_: int, record: TurnRecord, names: list[str] | None = None) -> Turn:
        return Turn(
            round=round_,
            agent=(names or self._names)[record.place],
            turn=record.turn,
            inbox=record.inbox,
            output=record.output,
            failure=record.failure,
            effects=record.effects,
            stdout=record.stdout,
            fuel=record.fuel,
        )

    def _turns(self) -> Iterator[Turn]:
        names = self._names
        for number, record in self._journal.queries.turns():
            yield self._turn(number, record, names)

    def _failures(self) -> Iterator[Turn]:
        names = self._names
        for summary in self._journal.rounds.summaries():
            if summary.failed:
                for turn in self._journal.rounds.round(summary.round).turns:
                    if turn.failure is not None:
                        yield self._turn(summary.round, turn, names)

    def _messages(self) -> Iterator[Message]:
        names = self._names
        for message in self._journal.queries.messages():
            yield Message(
                seq=message.seq,
                round=message.round,
                sender=OUTSIDE if message.sender is None else names[message.sender],
                to=message.to,
                body=message.body,
                recipients=tuple([names[place] for place in message.recipients]),
            )

    def _records(self) -> Iterator[Record]:
        names = self._names
        for row in self._journal.queries.records():
            yield Record(row.round, names[row.place], row.name, row.value)

    def _sum(self, count: Literal["turns", "records", "failed"]) -> int:
        return sum(getattr(summary, count) for summary in self._journal.rounds.summaries())

    def _count(self, what: Literal["rounds", "messages"]) -> int:
        if what == "rounds":
            return sum(1 for _ in self._journal.rounds.summaries())
        return sum(summary.messages + summary.inputs for summary in self._journal.rounds.summaries())
