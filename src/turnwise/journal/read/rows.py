"""Rows that reading a journal yields beside the records of the core."""

from __future__ import annotations

from dataclasses import dataclass

from turnwise.core.records import MessageRecord
from turnwise.core.turn import Log


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """A round without its content: the chains and the counts.

    `message_first` is the sequence number of its first message, inputs included. `agents` counts all that ever were.
    `outcome` is the digest of the round by itself, None in rounds of runs whose chains know none.
    """

    round: int
    head: bytes
    execution: bytes
    outcome: bytes | None
    message_first: int | None
    turns: int
    failed: int
    effects: int
    logs: int
    records: int
    inputs: int
    messages: int
    spawned: int
    agents: int
    stopped: int
    fuel: int
    waves: int


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A value that an agent recorded with `record(name, value)`."""

    round: int
    place: int
    name: str
    value: float | int | str


@dataclass(frozen=True, slots=True)
class LogRow:
    """A line that an agent logged."""

    round: int
    place: int
    log: Log


@dataclass(frozen=True, slots=True)
class PendingMessage:
    """A message, and the places (ascending) of those that have not read it and are not stopped."""

    message: MessageRecord
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """The standing of an agent after a round.

    `turns` counts its turns; `round` and `wake_in` are those of its latest turn, None if it had none or did not ask.
    """

    place: int
    turns: int
    state: str
    round: int | None
    wake_in: int | None


@dataclass(frozen=True, slots=True)
class WriterRow:
    """A process that wrote the journal from `round` (the last that was committed before) on. Both texts are JSON."""

    round: int
    versions: str
    info: str
