"""A turn's outcome in the words of the ABI, as types.

A turn is a pure function of (code, args, state, inbox, results of effects so far). It ends in one of three ways:
`Completed`, `Needs` (effects whose results are not there yet; the turn runs again from its start when they are), or
`Failed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from turnwise.core.unguarded import unguarded

LogLevel = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: tuple[LogLevel, ...] = ("debug", "info", "warning", "error")


class FailureClass(StrEnum):
    """Reason why a turn failed: a closed list, since it is part of the head."""

    RAISED = "raised"
    """The agent declared an error, or its Python code raised."""
    TRAP = "trap"
    """The WebAssembly code trapped: unreachable, out of bounds, division by zero, …"""
    FUEL = "fuel"
    """The turn used up its fuel over all its executions."""
    MEMORY = "memory"
    """The turn asked for more linear memory than its limit."""
    STACK = "stack"
    """The WebAssembly stack overflowed."""
    OUTPUT = "output"
    """The turn's output is not JSON, or not of the ABI's form."""
    OUTPUT_SIZE = "output_size"
    """The turn's output or a request is larger than a limit, or a sum of them is."""
    EFFECTS = "effects"
    """The turn asked for more effects than its limit."""
    DENIED = "denied"
    """The turn did what it was not granted."""
    CONFLICT = "conflict"
    """The turn spawned an agent whose name exists already."""
    FORBIDDEN = "forbidden"
    """The turn called an import that the sandbox does not answer."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason of a failed turn. `kind` is in the head; `message` is for people, and is not."""

    kind: FailureClass
    message: str


@unguarded
@dataclass(frozen=True, slots=True)
class Send:
    """A message. `attach` is the handle of a content that comes with it, or None."""

    to: str
    body: str
    attach: str | None = None


@dataclass(frozen=True, slots=True)
class Log:
    level: LogLevel
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    name: str
    value: float | int | str


@dataclass(frozen=True, slots=True)
class Spawn:
    """`args` is canonical JSON text of an object, or None; `state` is text, or None for the kind's own."""

    kind: str
    name: str
    args: str | None = None
    state: str | None = None


@unguarded
@dataclass(frozen=True, slots=True)
class TurnOutput:
    """The output of a completed turn.

    `finish` is JSON text of the world's result, its keys as the agent ordered them, or None.
    """

    state: str
    send: tuple[Send, ...] = ()
    log: tuple[Log, ...] = ()
    record: tuple[Record, ...] = ()
    wake_in: int | None = None
    spawn: tuple[Spawn, ...] = ()
    stop: tuple[str, ...] = ()
    finish: str | None = None


@unguarded
@dataclass(frozen=True, slots=True)
class EffectRequest:
    """One effect that a turn asks for. `body` is the request as canonical JSON text, `kind` its `effect` member.

    `model` names the model it needs (`generate`, `infer`, `embed`), or is None. `content` is what `put` keeps; its
    size and hash stand for it in `body`.
    """

    kind: str
    model: str | None
    body: str
    content: bytes | memoryview | None = None


@unguarded
@dataclass(frozen=True, slots=True)
class Completed:
    output: TurnOutput


@unguarded
@dataclass(frozen=True, slots=True)
class Needs:
    """The effects of the call at which the turn was suspended; `many` if it asked with `{"effects": […]}`."""

    requests: tuple[EffectRequest, ...]
    many: bool


@dataclass(frozen=True, slots=True)
class Failed:
    failure: Failure


Outcome = Completed | Needs | Failed
