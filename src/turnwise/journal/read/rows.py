"""Rows that reading a journal yields beside the records of the core."""

from __future__ import annotations

from dataclasses import dataclass

from turnwise.core.records import MessageRecord
from turnwise.core.turn import Log


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """A round without its content: the chains and the counts."""

    round: int
    """Number of the round."""
    head: bytes
    """Head of the run after the round."""
    execution: bytes
    """Execution digest after the round."""
    outcome: bytes | None
    """Digest of the round by itself; None in rounds of runs whose chains know none."""
    state: bytes | None
    """Digest of the world's state after the round; None where none was due."""
    message_first: int | None
    """Sequence number of its first message, inputs included; None without one."""
    turns: int
    """Turns, failed ones too."""
    failed: int
    """Turns that failed."""
    effects: int
    """Effects of all turns."""
    logs: int
    """Lines that agents logged."""
    records: int
    """Values that agents recorded."""
    inputs: int
    """Messages from outside."""
    messages: int
    """Messages that agents sent."""
    spawned: int
    """Agents that were spawned."""
    agents: int
    """Agents that ever were, after the round."""
    stopped: int
    """Agents that were stopped."""
    fuel: int
    """Fuel of all turns."""
    waves: int
    """Waves of requests that models answered."""


@dataclass(frozen=True, slots=True)
class RoundTotals:
    """Sums over rounds."""

    rounds: int
    """Rounds."""
    turns: int
    """Turns, failed ones too."""
    failed: int
    """Turns that failed."""
    effects: int
    """Effects of all turns."""
    records: int
    """Values that agents recorded."""
    inputs: int
    """Messages from outside."""
    messages: int
    """Messages that agents sent."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Numbers of what a run took. None depends on the machine; fuel depends on the version of the engine."""

    turns: int
    """Turns that were completed or failed."""
    failed: int
    """Turns that failed."""
    messages: int
    """Messages that agents sent."""
    effects: int
    """Effects that turns asked for."""
    tokens: int
    """Tokens that language models generated, where they are recorded."""
    fuel: int
    """Fuel of all executions."""


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A value that an agent recorded with `record(name, value)`."""

    round: int
    """Round of the turn."""
    place: int
    """Place of the agent."""
    name: str
    """Name that the agent gave."""
    value: float | int | str
    """Value that it recorded."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """A line that an agent logged."""

    round: int
    """Round of the turn."""
    place: int
    """Place of the agent."""
    log: Log
    """Line and its level."""


@dataclass(frozen=True, slots=True)
class PendingMessage:
    """A message that somebody has not read."""

    message: MessageRecord
    """The message."""
    places: tuple[int, ...]
    """Places (ascending) of those that have not read it and are not stopped."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The standing of an agent after a round."""

    place: int
    """Place of the agent."""
    turns: int
    """Number of its turns."""
    state: str
    """State that its latest turn left, or its first."""
    round: int | None
    """Round of its latest turn; None if it had none."""
    wake_in: int | None
    """Rounds after which its latest turn asked to be woken; None if it did not."""


@dataclass(frozen=True, slots=True)
class WriterRow:
    """A process that wrote the journal."""

    round: int
    """Last round that was committed before it began to write."""
    versions: str
    """Versions that execute the run, JSON text."""
    info: str
    """Facts about the machine and the process, JSON text."""
