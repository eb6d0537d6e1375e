"""Types for what a person writes, in a world file or in Python. They check nothing; resolving a world does."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from turnwise.core.plan import (
    AGENTS_MAX_DEFAULT,
    DELIVERIES_MAX_DEFAULT,
    EFFECTS_MAX_DEFAULT,
    FUEL_DEFAULT,
    MEMORY_MIB_DEFAULT,
    ROUND_US_DEFAULT,
    TIME_START_US_DEFAULT,
    InitialMessage,
    OnFailure,
    Schedule,
)
from turnwise.world.json_values import Json
from turnwise.world.limits import (
    EFFECTS_MIB_DEFAULT,
    INBOX_MIB_DEFAULT,
    OUTPUT_MIB_DEFAULT,
    ROUNDS_DEFAULT,
    SEND_MIB_DEFAULT,
    STATE_MIB_DEFAULT,
)

SEED_DEFAULT = 0
ROUND_SECONDS_DEFAULT = ROUND_US_DEFAULT / 1_000_000
TURN_SECONDS_DEFAULT = 14_400
TIME_START_DEFAULT = datetime.fromtimestamp(TIME_START_US_DEFAULT // 1_000_000, UTC)
PROVIDER_DEFAULT = "auto"

Task = Literal["generate", "infer", "embed"]
"""The effect that a model answers."""
ACCURACY_LEVEL: Final = 4
"""The accuracy level that 4-bit products can be rewritten to."""
Batching = Literal["free"]
"""A world's own choice of how sequences run together; without one, the engine chooses."""
BATCHINGS: Final[tuple[Batching, ...]] = ("free",)
TASKS: Final[tuple[Task, ...]] = ("generate", "infer", "embed")


_WAT_START: Final = re.compile(r"(\s|;;[^\n]*\n)*\(\s*(module|component)\b")


class SourceText(str):
    """The text of a source, where a path could stand as well."""

    __slots__ = ()

    @property
    def is_wat(self) -> bool:
        return _WAT_START.match(self) is not None


@dataclass(frozen=True, slots=True)
class Model:
    """A model that agents may be granted. `path` is its folder (or a .onnx file), relative to the world's.

    `provider` is the ONNX Runtime execution provider to use (`auto`, `cpu`, `cuda`, …); with `require` it is an error
    if that one cannot be used, without it another one is. `variant` chooses among the graphs of a folder that holds
    several (`q4`, `fp16`, …). `task` says which effect it answers: `generate`, `infer` or `embed`; None is what the
    folder shows. `accuracy_level` rewrites 4-bit products when the model is loaded, and `context_tokens_max` makes its
    context shorter: either makes another model of it, and another head. `batching` `free` runs sequences together as
    they come even where their bits depend on that; None is the cheapest way in which they do not.
    """

    path: str | os.PathLike[str]
    provider: str = field(default=PROVIDER_DEFAULT, kw_only=True)
    require: bool = field(default=False, kw_only=True)
    variant: str | None = field(default=None, kw_only=True)
    task: Task | None = field(default=None, kw_only=True)
    accuracy_level: int | None = field(default=None, kw_only=True)
    context_tokens_max: int | None = field(default=None, kw_only=True)
    batching: Batching | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """The acts that agents of a kind may do: none, unless it is named here.

    `generate`, `infer` and `embed` name models and `spawn` kinds; `send` and `stop` name agents and groups. A pattern
    (`narrator-*`) stands for all that it matches.
    """

    generate: Sequence[str] = ()
    infer: Sequence[str] = ()
    embed: Sequence[str] = ()
    send: Sequence[str] = ()
    spawn: Sequence[str] = ()
    stop: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Agent:
    """A kind of agent, and how many of it there are.

    `source` is a path (.py, .wasm, .wat), or the source itself: text of more than one line (Python, or WAT), or bytes
    (WebAssembly). Without `count` and `table` there is one agent, named like its kind; with `count`, or with a list of
    `args`, they are numbered from 1 (`narrator-1`); with `table`, a CSV file, each row is one, and columns become
    arguments. `state` is the first state: a JSON value that is a mapping, or text as it is. `system` begins each
    conversation of theirs with a model that has no system message of its own. Bounds hold for one turn.
    """

    source: str | os.PathLike[str] | bytes
    count: int | None = field(default=None, kw_only=True)
    table: str | os.PathLike[str] | None = field(default=None, kw_only=True)
    columns: Sequence[str] = field(default=(), kw_only=True)
    args: Mapping[str, Json] | Sequence[Mapping[str, Json]] = field(default_factory=dict, kw_only=True)
    state: Mapping[str, Json] | str | None = field(default=None, kw_only=True)
    start: bool = field(default=False, kw_only=True)
    groups: Sequence[str] = field(default=(), kw_only=True)
    grants: Grants = field(default=Grants(), kw_only=True)
    system: str = field(default="", kw_only=True)
    fuel: int = field(default=FUEL_DEFAULT, kw_only=True)
    memory_mib: int = field(default=MEMORY_MIB_DEFAULT, kw_only=True)
    output_mib: int = field(default=OUTPUT_MIB_DEFAULT, kw_only=True)
    effects_max: int = field(default=EFFECTS_MAX_DEFAULT, kw_only=True)
    effects_mib: int = field(default=EFFECTS_MIB_DEFAULT, kw_only=True)
    state_mib: int = field(default=STATE_MIB_DEFAULT, kw_only=True)
    inbox_mib: int = field(default=INBOX_MIB_DEFAULT, kw_only=True)
    send_mib: int = field(default=SEND_MIB_DEFAULT, kw_only=True)
    deliveries_max: int = field(default=DELIVERIES_MAX_DEFAULT, kw_only=True)


@dataclass(frozen=True, slots=True)
class Description:
    """A whole world as it was written.

    Paths are relative to `folder`, and what agents execute must lie inside it; None: paths are relative to the current
    folder and may lead anywhere. `round_seconds` is virtual time from one round to the next. `turn_seconds_max` bounds
    the fuel of all agents by the time that it can take on a slow machine.
    """

    name: str
    seed: int = field(default=SEED_DEFAULT, kw_only=True)
    schedule: Schedule = field(default="rounds", kw_only=True)
    rounds_max: int = field(default=ROUNDS_DEFAULT, kw_only=True)
    agents_max: int = field(default=AGENTS_MAX_DEFAULT, kw_only=True)
    on_failure: OnFailure = field(default="continue", kw_only=True)
    time_start: datetime = field(default=TIME_START_DEFAULT, kw_only=True)
    round_seconds: float = field(default=ROUND_SECONDS_DEFAULT, kw_only=True)
    turn_seconds_max: int = field(default=TURN_SECONDS_DEFAULT, kw_only=True)
    models: Mapping[str, Model] = field(default_factory=dict, kw_only=True)
    agents: Mapping[str, Agent] = field(default_factory=dict, kw_only=True)
    messages: Sequence[InitialMessage] = field(default=(), kw_only=True)
    folder: str | os.PathLike[str] | None = field(default=None, kw_only=True)
