"""Resolving a world: its sources and tables are read, its agents listed, and every name in it is known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from turnwise.core import plan as core
from turnwise.core.plan import AgentPlan, InitialMessage, Limits
from turnwise.core.run_python import RUNNER, RUNNER_FILE, RUNNER_SOURCE
from turnwise.demo import is_builtin, model_folder
from turnwise.errors import UsageError
from turnwise.world.files import Refused, is_file, is_folder
from turnwise.world.limits import FUEL_NS_SLOW, TIME_END_US
from turnwise.world.meaning.agents import list_agents
from turnwise.world.meaning.endpoints import ResolvedEndpoint, endpoints
from turnwise.world.meaning.function_source import folder_of, function_text
from turnwise.world.meaning.references import Names
from turnwise.world.meaning.sources import SourceFiles, from_bytes, from_file, from_text
from turnwise.world.names import fault
from turnwise.world.problems import Problems, dotted, quoted, said
from turnwise.world.written.types import Batching, Description, Source, SourceText, Task

_MIB = 1024 * 1024
_SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PROVIDER = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_VARIANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model of the world, checked. Members are those of `Model`."""

    name: str
    """Name of the model in the world."""
    path: Path
    """Absolute path of a folder, or of a .onnx file, that exists."""
    provider: str
    require: bool
    variant: str | None
    task: Task | None
    accuracy_level: int | None
    context_tokens_max: int | None
    batching: Batching | None
    reproducible: bool
    multiplications_max: int | None
    kv_window: bool = False


@dataclass(frozen=True, slots=True)
class ResolvedTool:
    """A server of tools, checked. Members without a word here are those of `Tools`."""

    name: str
    """Name of the server in the world."""
    kind: str
    settings: Mapping[str, Any]
    folder: Path
    """Absolute path of the folder that its paths are relative to."""
    calls_max: int
    calls_at_once: int
    seconds_max: float
    reply_bytes_max: int
    """Bytes of a reply as JSON."""
    idempotent: bool | tuple[str, ...]
    environment: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ResolvedKind:
    """A kind of agent, all but the hash of its code. Members without a word here are those of `Agent`."""

    name: str
    """Name of the kind."""
    source: SourceFiles
    """Files that its agents execute."""
    args: str
    """Arguments of spawned agents, canonical JSON text."""
    state: str
    """First state of spawned agents, opaque text."""
    start: bool
    groups: tuple[str, ...]
    grants: core.KindGrants
    """Acts that agents of the kind may do, groups and names checked."""
    limits: Limits
    """Bounds of a turn."""
    system: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """A world, checked and read: all that a plan needs but hashes. Members without a word here are those of `World`."""

    name: str
    seed: int
    schedule: core.Schedule
    rounds_max: int
    agents_max: int
    contents_bytes_max: int
    """Bytes of all contents that are ever put."""
    on_failure: core.OnFailure
    time_start_us: int
    """Virtual time of the beginning, microseconds since 1970-01-01 UTC."""
    round_us: int
    """Virtual time of a round, microseconds."""
    kinds: tuple[ResolvedKind, ...]
    """Kinds in order of place."""
    agents: tuple[AgentPlan, ...]
    """Agents of the beginning, in order of place."""
    models: tuple[ResolvedModel, ...]
    """Models of the world that are loaded."""
    messages: tuple[InitialMessage, ...]
    """Messages that wait when the run begins."""
    endpoints: tuple[ResolvedEndpoint, ...]
    """Models of the world behind URLs."""
    tools: tuple[ResolvedTool, ...]
    """Servers of tools, in order of name."""
    park_after_ms: int
    label: str = field(compare=False)
    """The name of this world in errors: the path of its file, or `World("name")`."""

    def where(self, *path: str | int) -> str:
        """Return a place in the world for errors that are found later: `world.toml: agents.narrator.source`."""
        return f"{self.label}: {dotted(path)}"

    @property
    def model_names(self) -> list[str]:
        """Names of all models, in order."""
        return sorted([model.name for model in self.models] + [endpoint.name for endpoint in self.endpoints])

    @property
    def sources(self) -> dict[str, SourceFiles]:
        """The source of each kind, by its name, and that of what executes code for agents, if any may have that."""
        sources = {kind.name: kind.source for kind in self.kinds}
        if any(kind.grants.run_python for kind in self.kinds):
            sources[RUNNER] = SourceFiles("python", RUNNER_FILE, ((RUNNER_FILE, RUNNER_SOURCE.encode()),))
        return sources


def resolve(world: Description, problems: Problems) -> Resolved | None:
    """Check a description and read what it names. None if there are problems, earlier ones included."""
    base, root = _folders(world)
    initial = list_agents(world.agents, base, root, problems)
    names = Names(world, initial, problems)
    grants = {name: names.grants(name, agent.grants) for name, agent in world.agents.items()}
    names.check_messages(world.messages)
    sources = dict(_sources(world, base, root, problems))
    models = tuple(_models(world, base, problems))
    behind_urls = tuple(endpoints(world, problems))
    tools = tuple(_tools(world, base, problems))
    time_start_us, round_us = _clock(world, problems)
    _check_fuel(world, problems)
    if problems:
        return None
    kinds = [
        ResolvedKind(
            name=name,
            source=sources[name],
            args=initial.args[name],
            state=initial.states[name],
            start=agent.start,
            groups=tuple(sorted(set(agent.groups))),
            grants=grants[name],
            limits=Limits(
                fuel=agent.fuel,
                memory_bytes=agent.memory_mib * _MIB,
                output_bytes_max=agent.output_mib * _MIB,
                effects_max=agent.effects_max,
                state_bytes_max=agent.state_mib * _MIB,
                send_bytes_max=agent.send_mib * _MIB,
                deliveries_max=agent.deliveries_max,
                inbox_bytes_max=agent.inbox_mib * _MIB,
                effects_bytes_max=agent.effects_mib * _MIB,
                put_bytes_max=agent.put_mib * _MIB,
            ),
            system=agent.system,
        )
        for name, agent in world.agents.items()
    ]
    return Resolved(
        name=world.name,
        seed=world.seed,
        schedule=world.schedule,
        rounds_max=world.rounds_max,
        agents_max=world.agents_max,
        contents_bytes_max=world.contents_mib * _MIB,
        on_failure=world.on_failure,
        time_start_us=time_start_us,
        round_us=round_us,
        kinds=tuple(kinds),
        agents=tuple(initial.agents),
        models=models,
        tools=tools,
        park_after_ms=world.park_after_ms,
        messages=tuple(InitialMessage(message.to, message.body) for message in world.messages),
        endpoints=behind_urls,
        label=problems.label,
    )


def _folders(world: Description) -> tuple[Path, Path | None]:
    """Return the folder that paths are relative to, and the one that files must lie in."""
    if world.folder is None:
        return Path.cwd(), None
    base = Path(world.folder).absolute()
    return base, base.resolve()


def _sources(
    world: Description, base: Path, root: Path | None, problems: Problems
) -> Iterator[tuple[str, SourceFiles]]:
    for name, agent in world.agents.items():
        path = ("agents", name, "source")
        if problems.at(path) or problems.at(path[:2]):
            continue
        try:
            yield name, _source(name, agent.source, base, root)
        except Refused as error:
            problems.add(path, error.message, error.hint)


def _source(kind: str, source: Source, base: Path, root: Path | None) -> SourceFiles:
    if isinstance(source, bytes):
        return from_bytes(source, kind)
    if callable(source):
        return from_text(SourceText(function_text(source)), kind, folder_of(source), root)
    if isinstance(source, SourceText):
        return from_text(source, kind, None if root is None else base, root)
    return from_file(source, base, root)


def _models(world: Description, base: Path, problems: Problems) -> Iterator[ResolvedModel]:
    """Yield the models in order of name, since their order in the file means nothing."""
    for name, model in sorted(world.models.items()):
        if model.url is not None:
            continue
        path = ("models", name)
        wrong = fault(name)
        if wrong is not None:
            problems.add(path, *wrong)
        if not _PROVIDER.fullmatch(model.provider):
            hint = 'Write the short name of an execution provider: "auto", "cpu", "cuda", …'
            problems.add((*path, "provider"), f"is {said(model.provider)}", hint)
        if not model.reproducible and model.task in ("infer", "embed"):
            hint = "Leave it out: it is for models that generate text."
            problems.add((*path, "reproducible"), f"is false for a model to {model.task} with", hint)
        if model.kv_window and model.task in ("infer", "embed"):
            hint = "Leave it out: only models that generate text have a KV cache."
            problems.add((*path, "kv_window"), f"is true for a model to {model.task} with", hint)
        if not model.reproducible and model.batching is not None:
            hint = "Leave batching out: sequences run together as they come, and without waves."
            problems.add((*path, "reproducible"), "is false beside batching", hint)
        if model.variant is not None and not _VARIANT.fullmatch(model.variant):
            problems.add(
                (*path, "variant"), f"is {said(model.variant)}", 'Write the name of a variant: "q4", "fp16", …'
            )
        if problems.at((*path, "path")) or problems.at(path):
            continue
        place = model.path or ""
        try:
            folder = model_folder(place) if is_builtin(place) else base / _at_home(Path(place))
        except UsageError as error:
            problems.add((*path, "path"), error.message, error.hint or "")
            continue
        is_graph = model.task in (None, "infer") and folder.suffix == ".onnx" and is_file(folder)
        if not is_graph and not is_folder(folder):
            hint = f"Put the model there, correct the path, or name another folder: --model {name}=PATH."
            problems.add((*path, "path"), f"is no folder: {quoted(str(folder))}", hint)
            continue
        yield ResolvedModel(
            name=name,
            path=folder.resolve(),
            provider=model.provider,
            require=model.require,
            variant=model.variant,
            task=model.task,
            accuracy_level=model.accuracy_level,
            context_tokens_max=model.context_tokens_max,
            batching=model.batching,
            reproducible=model.reproducible,
            multiplications_max=model.multiplications_max,
            kv_window=model.kv_window,
        )


def _tools(world: Description, base: Path, problems: Problems) -> Iterator[ResolvedTool]:
    for name, tool in sorted(world.tools.items()):
        wrong = fault(name)
        if wrong is not None:
            problems.add(("tools", name), *wrong)
        elif "." in name:
            hint = "Take the dot out: it stands between a server and its tool, as in calc.add."
            problems.add(("tools", name), "has a dot in its name", hint)
        yield ResolvedTool(
            name=name,
            kind=tool.kind,
            settings=tool.settings,
            folder=base.absolute(),
            calls_max=tool.calls_max,
            calls_at_once=tool.calls_at_once,
            seconds_max=float(tool.seconds_max),
            reply_bytes_max=tool.reply_kib * 1024,
            idempotent=tool.idempotent if isinstance(tool.idempotent, bool) else tuple(tool.idempotent),
            environment=tool.environment,
        )


def _at_home(path: Path) -> Path:
    """Return the path with `~` at its beginning replaced, where that says a home folder."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _check_fuel(world: Description, problems: Problems) -> None:
    """Report fuel that may take longer on a slow machine than a turn may take."""
    fuel_max = world.turn_seconds_max * _SECOND_NS // FUEL_NS_SLOW
    for name, agent in world.agents.items():
        if agent.fuel > fuel_max:
            seconds = agent.fuel * FUEL_NS_SLOW // _SECOND_NS
            problems.add(
                ("agents", name, "fuel"),
                f"is {agent.fuel}, which may take {seconds:,} s on a slow machine, and a turn may take "
                f"{world.turn_seconds_max:,} s",
                f"Lower it to {fuel_max} or less, or raise turn_seconds_max under [world].",
            )


def _clock(world: Description, problems: Problems) -> tuple[int, int]:
    """Virtual time in microseconds: at round 1, and from one round to the next."""
    start = (world.time_start - _EPOCH) // _MICROSECOND
    step = round(world.round_seconds * 1_000_000)
    if start < 0:
        problems.add(("world", "time_start"), "is before 1970", "Write an instant from 1970-01-01T00:00:00Z on.")
    elif world.round_seconds and not step:
        hint = "Write at least 0.000001, or 0 for a clock that stands still between rounds."
        problems.add(("world", "round_seconds"), f"is {said(world.round_seconds)}, less than a microsecond", hint)
    elif start + step * world.rounds_max >= TIME_END_US:
        hint = "Lower round_seconds or rounds_max, or start earlier."
        problems.add(("world", "round_seconds"), "takes the virtual clock beyond the year 9999", hint)
    return start, step
