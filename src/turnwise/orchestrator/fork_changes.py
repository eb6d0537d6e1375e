"""Changes that somebody wants of a run that is forked, as records of the core. Whatever cannot be is said here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.core.events import Answer, Input
from turnwise.core.plan import ROUNDS_MAX, SEED_MAX, Kind, Plan
from turnwise.core.plan_change import plan_change
from turnwise.core.question import AskedQuestion, answer_reply
from turnwise.core.records import ChangeRecord, MessageRecord
from turnwise.core.state import AgentState, WorldState
from turnwise.errors import UsageError
from turnwise.orchestrator.answering import check_answer
from turnwise.world import limits
from turnwise.world.written.overrides import setting_of

_MIB: Final = 1024 * 1024
_BOUNDS: Final[dict[str, tuple[str, int, int, int]]] = {
    "fuel": ("fuel", 1, limits.FUEL_MAX, 1),
    "memory_mib": ("memory_bytes", 1, limits.MEMORY_MIB_MAX, _MIB),
    "output_mib": ("output_bytes_max", 1, limits.OUTPUT_MIB_MAX, _MIB),
    "effects_max": ("effects_max", 0, limits.EFFECTS_MAX, 1),
    "effects_mib": ("effects_bytes_max", 1, limits.EFFECTS_MIB_MAX, _MIB),
    "put_mib": ("put_bytes_max", 1, limits.PUT_MIB_MAX, _MIB),
    "state_mib": ("state_bytes_max", 1, limits.STATE_MIB_MAX, _MIB),
    "inbox_mib": ("inbox_bytes_max", 1, limits.INBOX_MIB_MAX, _MIB),
    "send_mib": ("send_bytes_max", 1, limits.SEND_MIB_MAX, _MIB),
    "deliveries_max": ("deliveries_max", 1, limits.DELIVERIES_MAX, 1),
}
"""Bounds of a turn by their key in a world file: member of `Limits`, least, most, factor."""

_SETTABLE: Final = (
    "A fork can change world.rounds_max, world.agents_max, world.contents_mib and world.on_failure, and of "
    "agents.NAME: args, system, grants and the bounds of a turn. --seed, --source, --model, --state, --message, --drop "
    "and --stop-agent do more."
)


@dataclass(frozen=True, slots=True)
class ForkChanges:
    """Changes that a fork begins with."""

    messages: Sequence[tuple[str, str]] = ()
    """Messages from outside: agent or group, and body."""
    drop: Sequence[int] = ()
    """Sequence numbers of messages that nobody reads any more."""
    states: Mapping[str, str] = field(default_factory=dict)
    """States by agent, as the agent itself would have left them."""
    sources: Mapping[str, Path] = field(default_factory=dict)
    """Source files by kind."""
    settings: Sequence[str] = ()
    """Keys of the world file, `KEY.PATH=VALUE`."""
    seed: int | None = None
    """Seed of all chance, if another."""
    stop: Sequence[str] = ()
    """Agents that are stopped."""
    repeat_inputs: bool = True
    """True repeats the messages and answers that came from outside in later rounds, in the same rounds."""
    answers: Mapping[int, Any] = field(default_factory=dict)
    """Answers to questions that wait where the fork begins: numbers and JSON values."""


def records_of(
    world: WorldState, plan: Plan, changes: ForkChanges, codes: Mapping[str, str], models: Mapping[str, str]
) -> list[ChangeRecord]:
    """Return the changes of a world as records. `codes` and `models` are the hashes that are used from here on.

    `plan` is the world's own, `world` stands where the fork begins. Raises `UsageError` for what cannot be changed.
    """
    agents: list[ChangeRecord] = []
    after = replace(
        plan,
        seed=plan.seed if changes.seed is None else _whole("--seed", changes.seed, 0, SEED_MAX),
        kinds=tuple([replace(kind, code=codes[kind.name]) for kind in plan.kinds]),
        models=tuple([(name, models[name]) for name, _ in plan.models]),
    )
    for setting in changes.settings:
        after = _set(world, after, setting, agents)
    text = plan_change(plan, after)
    found = [] if text is None else [ChangeRecord("plan", None, text)]
    found += agents
    for name, state in changes.states.items():
        found.append(ChangeRecord("state", _agent(world, name, "--state").place, state))
    found += [ChangeRecord("stop", _agent(world, name, "--stop-agent").place) for name in changes.stop]
    found += [ChangeRecord("drop", _unread(world, seq)) for seq in changes.drop]
    if (found or changes.messages) and after.rounds_max <= world.round:
        raise UsageError(
            f"the run is bound to {after.rounds_max} rounds, and the fork leaves it after round {world.round}",
            where="--at",
            hint=f"Raise the bound (--set world.rounds_max={world.round + 100}), or fork at an earlier round.",
        )
    return found


def inputs_of(world: WorldState, changes: ForkChanges, later: Sequence[MessageRecord]) -> list[Input]:
    """Return the messages from outside: new ones, and those of later rounds of the run that is forked."""
    found = []
    for to, body in changes.messages:
        if to not in world.groups:
            _agent(world, to, "--message")
        found.append(Input(to, body, world.round))
    return found + [Input(message.to, message.body, message.round) for message in later]


def answers_of(asked: Sequence[AskedQuestion], changes: ForkChanges, at: int) -> list[Answer]:
    """Return the answers that are given at once; `asked` are the questions that wait after round `at`."""
    open_ = {one.id: one for one in asked}
    found = []
    for number, value in changes.answers.items():
        if number not in open_:
            waiting = ", ".join(str(one) for one in open_) or "none"
            raise UsageError(
                f"question {number} does not wait for an answer after round {at}",
                where="--answer",
                expected=waiting,
                actual=number,
                hint="Fork after a round in which it waits; turnwise log shows when it was asked and answered.",
            )
        check_answer(open_[number], value)
        found.append(Answer(number, answer_reply(value), at, open_[number].asked))
    return found


def _agent(world: WorldState, name: str, option: str) -> AgentState:
    agent = world.by_name.get(name)
    if agent is None or not agent.alive:
        what = "was stopped before" if agent is not None else "is not there"
        raise UsageError(
            f"the agent {name!r} {what} after round {world.round}",
            where=option,
            actual=name,
            hint="turnwise log shows the agents that there are.",
        )
    return agent


def _unread(world: WorldState, seq: int) -> int:
    first = 0 <= seq < len(world.plan.messages) and world.round == 0
    if not first and not any(letter.seq == seq for agent in world.agents for letter in agent.inbox):
        raise UsageError(
            f"after round {world.round}, nobody is about to read message {seq}",
            where="--drop",
            actual=seq,
            hint="Fork after the round in which it was sent; turnwise log --json shows the numbers of messages.",
        )
    return seq


def _set(world: WorldState, plan: Plan, setting: str, agents: list[ChangeRecord]) -> Plan:
    """Return the plan with one more setting; arguments of agents that are there go to `agents`."""
    found = setting_of(setting)
    if found is None:
        raise UsageError(
            f"{setting!r} is not KEY.PATH=VALUE", where="--set", hint="Write --set agents.NAME.args.mood=grim."
        )
    path, value = found
    match path:
        case ("world", "rounds_max"):
            return replace(plan, rounds_max=_whole(setting, value, 1, ROUNDS_MAX))
        case ("world", "agents_max") if plan.agents_max is not None:
            return replace(plan, agents_max=_whole(setting, value, 1, limits.AGENTS_EVER_MAX))
        case ("world", "contents_mib"):
            bytes_max = _whole(setting, value, 1, limits.CONTENTS_MIB_MAX) * _MIB
            return replace(plan, contents_bytes_max=bytes_max)
        case ("world", "on_failure"):
            if value != "continue" and value != "stop":
                raise _wrong(setting, "'continue' or 'stop'")
            return replace(plan, on_failure=value)
        case ("agents", name, "args", *rest):
            return _set_args(world, plan, name, rest, value, setting, agents)
        case ("agents", name, key, *rest):
            kind = _kind(plan, name)
            changed = _changed_kind(plan, kind, (key, *rest), value, setting)
            return replace(plan, kinds=tuple([changed if of is kind else of for of in plan.kinds]))
        case _:
            raise UsageError(f"{'.'.join(path)} cannot be changed in a fork", where="--set", hint=_SETTABLE)


def _kind(plan: Plan, name: str) -> Kind:
    for kind in plan.kinds:
        if kind.name == name:
            return kind
    names = ", ".join(kind.name for kind in plan.kinds)
    raise UsageError(f"there is no kind of agent {name!r}", where="--set", actual=name, hint=f"The world has: {names}.")


def _changed_kind(plan: Plan, kind: Kind, path: tuple[str, ...], value: Any, setting: str) -> Kind:
    match path:
        case ("system",):
            if not isinstance(value, str) or len(value.encode()) > limits.SYSTEM_BYTES_MAX:
                raise _wrong(setting, f"a text of at most {limits.SYSTEM_BYTES_MAX:,} bytes")
            return replace(kind, system=value)
        case ("grants", "finish" | "run_python" | "ask" as act):
            if not isinstance(value, bool):
                raise _wrong(setting, "true or false")
            if act == "run_python" and value and plan.run_python is None:
                raise UsageError(
                    "run_python can be granted in a fork only where the run has granted it to some kind",
                    where=f"--set {setting}",
                    hint="Begin a new run whose world grants it.",
                )
            flag: dict[str, Any] = {act: value}
            return replace(kind, grants=replace(kind.grants, **flag))
        case ("grants", act) if act in type(kind.grants).__slots__:
            if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
                raise _wrong(setting, "a list of names")
            known = {name for name, _ in plan.models} if act in ("generate", "infer", "embed") else None
            known = {of.name for of in plan.kinds} if act == "spawn" else known
            if known is not None and (unknown := [entry for entry in value if entry not in known]):
                raise UsageError(f"{unknown[0]!r} is not there to be granted", where=f"--set {setting}", hint=_SETTABLE)
            entries: dict[str, Any] = {act: tuple(sorted(set(value)))}
            return replace(kind, grants=replace(kind.grants, **entries))
        case (key,) if key in _BOUNDS:
            member, least, most, factor = _BOUNDS[key]
            if getattr(kind.limits, member) is not None:
                bound = _whole(setting, value, least, most) * factor
                return replace(kind, limits=replace(kind.limits, **{member: bound}))
    raise UsageError(f"agents.{kind.name}.{'.'.join(path)} cannot be changed in a fork", where="--set", hint=_SETTABLE)


def _set_args(
    world: WorldState, plan: Plan, name: str, path: Sequence[str], value: Any, setting: str, agents: list[ChangeRecord]
) -> Plan:
    """Set arguments of one agent, or of a kind: of all its agents that have those of their kind, and of later ones."""
    kind = next((of for of in plan.kinds if of.name == name), None)
    if kind is None:
        agent = _agent(world, name, "--set")
        _put_args(agents, agent, _with(_args_now(agents, agent), path, value, setting))
        return plan
    old = _member(json.loads(kind.args), path)
    for agent in world.agents:
        if agent.alive and agent.record.kind == name:
            args = _args_now(agents, agent)
            if agent.name == name or _member(args, path) == old:
                _put_args(agents, agent, _with(args, path, value, setting))
    changed = replace(kind, args=canonical(_with(json.loads(kind.args), path, value, setting)))
    return replace(plan, kinds=tuple([changed if of is kind else of for of in plan.kinds]))


def _args_now(agents: Sequence[ChangeRecord], agent: AgentState) -> Any:
    texts = [change.text for change in agents if change.target == agent.place]
    return json.loads(texts[-1] or "{}" if texts else agent.args)


def _put_args(agents: list[ChangeRecord], agent: AgentState, args: Any) -> None:
    agents[:] = [change for change in agents if change.target != agent.place]
    agents.append(ChangeRecord("args", agent.place, canonical(args)))


def _member(args: Any, path: Sequence[str]) -> Any:
    for name in path:
        args = args.get(name) if isinstance(args, dict) else None
    return args


def _with(args: Any, path: Sequence[str], value: Any, setting: str) -> Any:
    if not path:
        if not isinstance(value, dict):
            raise _wrong(setting, "a table")
        return value
    if not isinstance(args, dict):
        raise UsageError("there are no keys inside of what is set", where=f"--set {setting}", hint="Correct the path.")
    inner = value if len(path) == 1 else _with(args.get(path[0], {}), path[1:], value, setting)
    try:
        canonical(inner)
    except ValueError as error:
        raise _wrong(setting, f"JSON ({error})") from None
    return args | {path[0]: inner}


def _whole(what: str, value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise _wrong(what, f"a whole number from {least:,} to {most:,}")
    return value


def _wrong(what: str, wanted: str) -> UsageError:
    where = what if what.startswith("--") else f"--set {what}"
    return UsageError(f"this must be {wanted}", where=where, expected=wanted, hint="Write another value.")
