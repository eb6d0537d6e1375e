"""Types for what a person writes, in a world file or in Python. They check nothing; resolving a world does."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

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
from turnwise.core.tool_plan import CALLS_MAX_DEFAULT, REPLY_BYTES_MAX_DEFAULT
from turnwise.world.json_values import Json
from turnwise.world.limits import (
    CONTENTS_MIB_DEFAULT,
    EFFECTS_MIB_DEFAULT,
    INBOX_MIB_DEFAULT,
    OUTPUT_MIB_DEFAULT,
    PUT_MIB_DEFAULT,
    ROUNDS_DEFAULT,
    SEND_MIB_DEFAULT,
    STATE_MIB_DEFAULT,
)

SEED_DEFAULT = 0
ROUND_SECONDS_DEFAULT = ROUND_US_DEFAULT / 1_000_000
TURN_SECONDS_DEFAULT = 14_400
TIME_START_DEFAULT = datetime.fromtimestamp(TIME_START_US_DEFAULT // 1_000_000, UTC)
PROVIDER_DEFAULT = "auto"
PARK_AFTER_MS_DEFAULT = 1_000
CALLS_AT_ONCE_DEFAULT = 8
CALL_SECONDS_DEFAULT = 60.0
REPLY_KIB_DEFAULT = REPLY_BYTES_MAX_DEFAULT // 1024

Task = Literal["generate", "infer", "embed"]
"""The effect that a model answers."""
EndpointTask = Literal["generate", "embed"]
"""The effect that a model behind a URL answers."""
ACCURACY_LEVEL: Final = 4
"""The accuracy level that 4-bit products can be rewritten to."""
Batching = Literal["free"]
"""A world's own choice of how sequences run together; without one, the engine chooses."""
BATCHINGS: Final[tuple[Batching, ...]] = ("free",)
TASKS: Final[tuple[Task, ...]] = ("generate", "infer", "embed")


Source = str | os.PathLike[str] | bytes | Callable[[Any], None]
"""Source of an agent, as it is written."""

_WAT_START: Final = re.compile(r"(\s|;;[^\n]*\n)*\(\s*(module|component)\b")


class SourceText(str):
    """The text of a source, where a path could stand as well."""

    __slots__ = ()

    @property
    def is_wat(self) -> bool:
        return _WAT_START.match(self) is not None


URL_KEYS: Final = ("url", "model", "key", "seconds_max", "requests_at_once", "reply_kib")
"""Keys of a model behind a URL, beside `task`."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that agents may be granted.

    `accuracy_level`, `context_tokens_max`, `kv_window` and `multiplications_max` each make another model of it, and so
    another head.
    """

    path: str | os.PathLike[str] | None = None
    """Its folder, or a .onnx file, relative to the world's folder; None where it is behind a `url`."""
    provider: str = field(default=PROVIDER_DEFAULT, kw_only=True)
    """ONNX Runtime execution provider to use: `auto`, `cpu`, `cuda`, …"""
    require: bool = field(default=False, kw_only=True)
    """True makes it an error that `provider` cannot be used; otherwise another one is used."""
    variant: str | None = field(default=None, kw_only=True)
    """Choice among the graphs of a folder that holds several: `q4`, `fp16`, …"""
    task: Task | None = field(default=None, kw_only=True)
    """Effect that it answers; None is what the folder shows."""
    accuracy_level: int | None = field(default=None, kw_only=True)
    """Accuracy level to which 4-bit products are rewritten when the model is loaded; None leaves them."""
    context_tokens_max: int | None = field(default=None, kw_only=True)
    """Bound of its context, where that is to be shorter than its own."""
    batching: Batching | None = field(default=None, kw_only=True)
    """`free` runs sequences together even where bits depend on that; None: the cheapest way in which they do not."""
    multiplications_max: int | None = field(default=None, kw_only=True)
    """Bound of what one run for `infer` or `embed` may compute; None: 1,000,000,000,000."""
    reproducible: bool = field(default=True, kw_only=True)
    """False gives up equal bits for speed: the run can be replayed with its recorded answers, and that is all."""
    url: str | None = field(default=None, kw_only=True)
    """Address of an API that asks it over HTTP (`http://127.0.0.1:11434/v1`), in place of `path`."""
    model: str | None = field(default=None, kw_only=True)
    """Its name behind the `url`."""
    key: str | None = field(default=None, kw_only=True)
    """Reference of the key that the `url` wants: `env:NAME`, a variable of the environment; None: none."""
    seconds_max: int | None = field(default=None, kw_only=True)
    """Bound of the time of a request to the `url`, with all that is tried again; None: 300."""
    requests_at_once: int | None = field(default=None, kw_only=True)
    """Bound of the requests that the `url` has at a time; None: 8."""
    reply_kib: int | None = field(default=None, kw_only=True)
    """Bound of an answer of the `url`; None: 4,096."""
    kv_window: bool = field(default=False, kw_only=True)
    """True has layers that look at a window of tokens keep no more than that: less memory, and another head."""


@dataclass(frozen=True, slots=True)
class Tools:
    """A server of tools that agents may be granted."""

    kind: str
    """The kind of it: `python`, `mcp`, `wasm`, `files` or `http`."""
    settings: Mapping[str, Json] = field(default_factory=dict)
    """Keys of the kind, such as `path`. In a world file they stand beside the others.

    A table `{ secret = "env:NAME" }` stands for the value of an environment variable."""
    calls_max: int = field(default=CALLS_MAX_DEFAULT, kw_only=True)
    """Calls of it in a run."""
    calls_at_once: int = field(default=CALLS_AT_ONCE_DEFAULT, kw_only=True)
    """Calls of it that run at a time; others wait."""
    seconds_max: float = field(default=CALL_SECONDS_DEFAULT, kw_only=True)
    """Time of a call, after which it is given up."""
    reply_kib: int = field(default=REPLY_KIB_DEFAULT, kw_only=True)
    """Reply to a call, as JSON."""
    idempotent: bool | Sequence[str] = field(default=False, kw_only=True)
    """True if each of its tools may be called again when nobody knows what became of a call; or names of those."""
    environment: Mapping[str, Json] = field(default_factory=dict, kw_only=True)
    """The whole environment of its process: texts, or secrets by reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallGrant:
    """A grant of tools with a condition."""

    tool: str
    """Name, pattern, or server."""
    approve: bool = True
    """True: a person approves each call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """The acts that agents of a kind may do: none, unless it is named here.

    A pattern (`narrator-*`) stands for all that it matches.
    """

    generate: Sequence[str] = ()
    """Models that may be asked for text."""
    infer: Sequence[str] = ()
    """Models that may be run on tensors."""
    embed: Sequence[str] = ()
    """Models that may embed texts."""
    send: Sequence[str] = ()
    """Agents and groups to which messages may be sent."""
    spawn: Sequence[str] = ()
    """Kinds of which agents may be spawned."""
    stop: Sequence[str] = ()
    """Agents and groups that may be stopped."""
    finish: bool = False
    """True allows to end the run for everybody."""
    run_python: bool = False
    """True allows to have Python code executed, in sandboxes of its own."""
    ask: bool = False
    """True allows to ask people, for whose answers a turn waits."""
    call: Sequence[str | CallGrant | Mapping[str, Json]] = ()
    """Tools that may be called: names, patterns or servers; or `CallGrant`s, by which a person approves each call."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A kind of agent, and how many of it there are. Bounds hold for one turn.

    Without `count` and `table` there is one agent, named like its kind; with `count`, or with a list of `args`, they
    are numbered from 1 (`narrator-1`).
    """

    source: Source
    """Path (.py, .js, .wasm, .wat), or the source itself: text of several lines (Python, JavaScript, WAT), bytes
    (WebAssembly), or a function, whose text is taken."""
    count: int | None = field(default=None, kw_only=True)
    """Number of agents; None without a list of `args` or a `table` is one."""
    table: str | os.PathLike[str] | None = field(default=None, kw_only=True)
    """CSV file of agents, one a row; its columns become arguments."""
    columns: Sequence[str] = field(default=(), kw_only=True)
    """Columns that `table` must have, with a value in every row."""
    args: Mapping[str, Json] | Sequence[Mapping[str, Json]] = field(default_factory=dict, kw_only=True)
    """Arguments of each agent, or a list of them, one for each agent."""
    state: Mapping[str, Json] | str | None = field(default=None, kw_only=True)
    """First state: a JSON value that is a mapping, or text as it is."""
    start: bool = field(default=False, kw_only=True)
    """True gives each agent a turn in round 1 without mail."""
    groups: Sequence[str] = field(default=(), kw_only=True)
    """Groups to which the agents belong."""
    grants: Grants = field(default=Grants(), kw_only=True)
    """Acts that the agents may do."""
    system: str = field(default="", kw_only=True)
    """System message of each conversation with a model that has none of its own."""
    fuel: int = field(default=FUEL_DEFAULT, kw_only=True)
    """WebAssembly instructions of a turn."""
    memory_mib: int = field(default=MEMORY_MIB_DEFAULT, kw_only=True)
    """Linear memory of a turn."""
    output_mib: int = field(default=OUTPUT_MIB_DEFAULT, kw_only=True)
    """Output of a turn, and each effect request."""
    effects_max: int = field(default=EFFECTS_MAX_DEFAULT, kw_only=True)
    """Effects of a turn."""
    effects_mib: int = field(default=EFFECTS_MIB_DEFAULT, kw_only=True)
    """Requests and replies of a turn's effects together."""
    put_mib: int = field(default=PUT_MIB_DEFAULT, kw_only=True)
    """Contents that a turn puts."""
    state_mib: int = field(default=STATE_MIB_DEFAULT, kw_only=True)
    """Arguments and state of an agent together."""
    inbox_mib: int = field(default=INBOX_MIB_DEFAULT, kw_only=True)
    """Bodies that a turn reads; other messages wait for the next."""
    send_mib: int = field(default=SEND_MIB_DEFAULT, kw_only=True)
    """Bodies of all messages that a turn sends."""
    deliveries_max: int = field(default=DELIVERIES_MAX_DEFAULT, kw_only=True)
    """Recipients of the messages that a turn sends; a message to nobody counts as one."""


@dataclass(frozen=True, slots=True)
class Description:
    """A whole world as it was written."""

    name: str
    """Name of the world."""
    seed: int = field(default=SEED_DEFAULT, kw_only=True)
    """Seed of all chance in the run."""
    schedule: Schedule = field(default="rounds", kw_only=True)
    """Rule of who moves in a round."""
    rounds_max: int = field(default=ROUNDS_DEFAULT, kw_only=True)
    """Round after which the run ends."""
    agents_max: int = field(default=AGENTS_MAX_DEFAULT, kw_only=True)
    """Agents that ever come to be, stopped ones counted."""
    contents_mib: int = field(default=CONTENTS_MIB_DEFAULT, kw_only=True)
    """Contents that are ever put, all agents together."""
    on_failure: OnFailure = field(default="continue", kw_only=True)
    """Consequence of a failed turn: the others go on, or the run ends."""
    time_start: datetime = field(default=TIME_START_DEFAULT, kw_only=True)
    """Virtual time in round 1."""
    round_seconds: float = field(default=ROUND_SECONDS_DEFAULT, kw_only=True)
    """Virtual time from one round to the next."""
    turn_seconds_max: int = field(default=TURN_SECONDS_DEFAULT, kw_only=True)
    """Time that the fuel of one turn may take on a slow machine, which bounds the fuel of all agents."""
    network: bool = field(default=False, kw_only=True)
    """True allows models behind URLs: what they are asked leaves this machine, or at least Turnwise."""
    park_after_ms: int = field(default=PARK_AFTER_MS_DEFAULT, kw_only=True)
    """Time after which a turn waits for a call of a tool beyond its round."""
    models: Mapping[str, Model] = field(default_factory=dict, kw_only=True)
    """Models by name."""
    agents: Mapping[str, Agent] = field(default_factory=dict, kw_only=True)
    """Kinds of agents by name."""
    tools: Mapping[str, Tools] = field(default_factory=dict, kw_only=True)
    """Servers of tools by name."""
    messages: Sequence[InitialMessage] = field(default=(), kw_only=True)
    """Messages that wait when the run begins."""
    folder: str | os.PathLike[str] | None = field(default=None, kw_only=True)
    """Folder of relative paths, which holds all that agents execute; None: the current one, and any place."""
