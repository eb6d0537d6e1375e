"""Settings of how a run is carried out. None of them may change what it computes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from turnwise.errors import UsageError
from turnwise.orchestrator.forked_calls import ToolMode
from turnwise.sandbox.languages import InterpretedLanguage
from turnwise.sharedmem import Transport
from turnwise.system.cores import cores

WORKERS_MAX = 256
WORKERS_VARIABLE = "TURNWISE_WORKERS"
"""The variable of the environment that says how many workers there are, where nothing else does."""
_COUNTS: Final = frozenset(str(count) for count in range(1, WORKERS_MAX + 1))

DEADLINE_MS_DEFAULT = 60_000


@dataclass(frozen=True, slots=True)
class Settings:
    """`workers`: sandbox processes (default: `TURNWISE_WORKERS`, or cores).

    `deadline_ms`: a worker that stands still for so long is killed.

    `models` replaces the folders of models by name; their content must be what the world or the journal expects.
    `interpreters` execute the agents of a language in a journal that was made with another one than this
    installation's. `telemetry`: whether others may watch the run live. `accept_tools`: tools that are others than
    those that a run is pinned to are taken from here on.
    `tools`: the way of calls in a fork.
    """

    workers: int | None = None
    transport: Transport = "auto"
    deadline_ms: int = DEADLINE_MS_DEFAULT
    models: Mapping[str, Path] = field(default_factory=dict)
    interpreters: Mapping[InterpretedLanguage, Path] = field(default_factory=dict)
    telemetry: bool = True
    accept_tools: bool = False
    tools: ToolMode = "recorded"

    def __post_init__(self) -> None:
        workers = self.workers
        if workers is not None and not (isinstance(workers, int) and 1 <= workers <= WORKERS_MAX):
            raise _no_workers("--workers", workers)
        if workers is None:
            _workers_of_environment()  # what is wrong there is said before anything has begun
        transports = get_args(Transport)
        if self.transport not in transports:
            raise UsageError(
                f"there is no transport {self.transport!r}",
                where="transport",
                expected=transports,
                actual=self.transport,
                hint=f"Give one of {', '.join(transports)}, or leave it out.",
            )

    @property
    def workers_count(self) -> int:
        """Sandbox processes: as many as were asked for, here or in the environment, or one a core."""
        return self.workers or _workers_of_environment() or min(WORKERS_MAX, cores())


def _workers_of_environment() -> int | None:
    """Return the number of workers that the environment asks for, if it does. Raises `UsageError` for what is none."""
    given = os.environ.get(WORKERS_VARIABLE)
    if not given:
        return None
    if given not in _COUNTS:
        raise _no_workers(WORKERS_VARIABLE, given[:40])
    return int(given)


def _no_workers(where: str, given: object) -> UsageError:
    return UsageError(
        f"there cannot be {given!r} workers",
        where=where,
        expected=f"1 to {WORKERS_MAX}",
        actual=given,
        hint=f"Give a number from 1 to {WORKERS_MAX}, or leave it out for one a core.",
    )
