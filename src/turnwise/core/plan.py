"""The plan: a world, read and checked, with every source named by its hash.

The plan is all that the core knows of a world. It holds no path and no provider, since neither may change what a run
computes: two plans that are equal give equal runs, and the head begins with the plan's hash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from turnwise.core.tool_plan import ToolServerPlan

Schedule = Literal["rounds", "sequential"]
OnFailure = Literal["continue", "stop"]

OUTSIDE = "outside"
"""Reserved name of the sender of messages that come from the world file or from outside the run."""

NAME_RULE = "a letter, then at most 63 letters, digits, '-', '_' or '.'"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

SEED_MAX = 2**63 - 1
ROUNDS_MAX = 2**31 - 1
FUEL_DEFAULT = 1_000_000_000
MEMORY_MIB_DEFAULT = 64
OUTPUT_BYTES_MAX_DEFAULT = 4 * 1024 * 1024
EFFECTS_MAX_DEFAULT = 64
STATE_BYTES_MAX_DEFAULT = 8 * 1024 * 1024
SEND_BYTES_MAX_DEFAULT = 4 * 1024 * 1024
DELIVERIES_MAX_DEFAULT = 1_000_000
INBOX_BYTES_MAX_DEFAULT = 8 * 1024 * 1024
EFFECTS_BYTES_MAX_DEFAULT = 64 * 1024 * 1024
PUT_BYTES_MAX_DEFAULT = 64 * 1024 * 1024
CONTENTS_BYTES_MAX_DEFAULT = 256 * 1024 * 1024
AGENTS_MAX_DEFAULT = 1_000_000
TIME_START_US_DEFAULT = 946_684_800_000_000  # 2000-01-01T00:00:00Z
ROUND_US_DEFAULT = 1_000_000


def valid_name(name: str) -> bool:
    """Return whether an agent, kind, group or model may be called so (`NAME_RULE`)."""
    return _NAME.fullmatch(name) is not None and name != OUTSIDE


@dataclass(frozen=True, slots=True)
class KindGrants:
    """The acts that a kind of agent may do. Names, patterns (`narrator-*`) and groups; empty means nothing.

    `generate`, `infer` and `embed` name the models that the effect of that name may ask; `finish` allows to end the
    run, `run_python` to have code executed, `ask` to ask people. `call` names tools, or servers of them, that may be
    called, `approve` those of which a person approves each call.
    """

    generate: tuple[str, ...] = ()
    send: tuple[str, ...] = ()
    spawn: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    infer: tuple[str, ...] = ()
    embed: tuple[str, ...] = ()
    finish: bool = False
    run_python: bool = False
    ask: bool = False
    call: tuple[str, ...] = ()
    approve: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one turn. Where one may be None, that is no bound: plans of version 1 had none there.

    Bytes of texts are counted as they stand in a turn's input: as JSON, in UTF-8.
    """

    fuel: int = FUEL_DEFAULT
    """WebAssembly instructions over all executions of the turn."""
    memory_bytes: int = MEMORY_MIB_DEFAULT * 1024 * 1024
    """Linear memory."""
    output_bytes_max: int = OUTPUT_BYTES_MAX_DEFAULT
    """Bytes of the turn's output, and of each of its requests."""
    effects_max: int = EFFECTS_MAX_DEFAULT
    """Effects that the turn asks for."""
    state_bytes_max: int | None = STATE_BYTES_MAX_DEFAULT
    """The agent's args and state together."""
    send_bytes_max: int | None = SEND_BYTES_MAX_DEFAULT
    """Bodies of all messages that the turn sends, each counted once however many it reaches."""
    deliveries_max: int | None = DELIVERIES_MAX_DEFAULT
    """Recipients of all messages that the turn sends; a message to nobody counts as one."""
    inbox_bytes_max: int | None = INBOX_BYTES_MAX_DEFAULT
    """Messages that the turn reads. What does not fit waits for the agent's next turns, in order; one always fits."""
    effects_bytes_max: int | None = EFFECTS_BYTES_MAX_DEFAULT
    """Requests and replies of all effects of the turn."""
    put_bytes_max: int = PUT_BYTES_MAX_DEFAULT
    """Contents that the turn puts."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A table `[agents.<name>]` of the world file.

    `code` is the SHA-256 (hex) that identifies everything the kind executes: component or module, and Python source.
    `args` is canonical JSON text of an object; `state` is opaque text, the first state of an agent of this kind.
    `start`: an agent of this kind has a turn in its first round without mail. `system` is the system prompt of its
    conversations with models that have none of their own; empty means none.
    """

    name: str
    code: str
    args: str = "{}"
    state: str = ""
    start: bool = False
    groups: tuple[str, ...] = ()
    grants: KindGrants = KindGrants()
    limits: Limits = Limits()
    system: str = ""


@dataclass(frozen=True, slots=True)
class AgentPlan:
    """One agent that exists from the beginning. Its place is its index in `Plan.agents`."""

    name: str
    kind: str
    args: str = "{}"
    state: str = ""


@dataclass(frozen=True, slots=True)
class InitialMessage:
    """A message of the world file, delivered in round 1 from `outside`. `to` is an agent or a group."""

    to: str
    body: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole world. `models` maps each model's name in the world to the SHA-256 (hex) of its content.

    `run_python` is the SHA-256 (hex) of what executes code for agents; None where no kind is granted that.
    `contents_bytes_max` bounds all contents that are put in the run. `tools` are the servers of tools.
    `agents_max` bounds the agents that ever come to be; None, as in plans of version 1, is no bound.
    `time_start_us` is virtual time (microseconds since 1970-01-01 UTC) in round 1; each round is `round_us` later.
    """

    name: str
    seed: int
    kinds: tuple[Kind, ...]
    agents: tuple[AgentPlan, ...]
    schedule: Schedule = "rounds"
    rounds_max: int = ROUNDS_MAX
    on_failure: OnFailure = "continue"
    messages: tuple[InitialMessage, ...] = ()
    models: tuple[tuple[str, str], ...] = ()
    time_start_us: int = TIME_START_US_DEFAULT
    round_us: int = ROUND_US_DEFAULT
    agents_max: int | None = AGENTS_MAX_DEFAULT
    run_python: str | None = None
    contents_bytes_max: int = CONTENTS_BYTES_MAX_DEFAULT
    tools: tuple[ToolServerPlan, ...] = ()

    @property
    def version(self) -> Literal[1, 2]:
        """Version of the plan's rules. By those of 1 sums have no bounds, and keys of the run's result are sorted."""
        return 1 if self.agents_max is None else 2

    def now_us(self, round_: int) -> int:
        """The virtual time of a round: microseconds since 1970-01-01 UTC."""
        return self.time_start_us + (round_ - 1) * self.round_us
