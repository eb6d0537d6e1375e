"""Progress of a run, for display. Nothing here flows back into the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Phase = Literal["starting", "playing", "stopping", "ended"]
WAITING_MAX = 8
"""Waiting agents that a display is told of."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A snapshot. `doing` says what is being started; `waiting` who waits for what, and `executing` how many turns are
    executed or wait for a sandbox; the rest counts from the start."""

    phase: Phase
    doing: str
    round: int
    rounds_max: int
    turns: int
    failures: int
    messages: int
    effects: int
    tokens: int
    waiting: tuple[str, ...]
    executing: int = 0
    backlog: int = 0
    """Messages that did not fit the inboxes of this round and wait for the next."""
    questions: int = 0
    """Questions that people can answer now."""
    quiet: bool = False
    """True while nobody has anything left to do, and a message would be read."""


@dataclass(slots=True)
class Status:
    """Notes of those who start a run, as they go."""

    phase: Phase = "starting"
    doing: str = ""
    notices: list[str] = field(default_factory=list)
