"""Puts a run together: compiles what agents execute, loads models, opens the journal, starts sandboxes.

Sources are compiled while models are loaded. Whatever fails closes what was opened before.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeVar

from turnwise._version import __version__
from turnwise.core.canonical import canonical
from turnwise.core.machine import Machine
from turnwise.core.plan import Plan
from turnwise.core.plan_change import plan_change
from turnwise.core.plan_json import plan_to_json
from turnwise.core.records import ChangeRecord
from turnwise.core.run_python import RUNNER
from turnwise.core.state import first_agents
from turnwise.core.tool_plan import ToolServerPlan
from turnwise.errors import JournalError, WorldError
from turnwise.inference.plans.endpoint_spec import EndpointSpec
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.journal import CodeSource, Journal
from turnwise.journal.file.errors import damaged
from turnwise.journal.file.stored_json import stored_object
from turnwise.orchestrator import outside_box
from turnwise.orchestrator.forked_calls import ForkedCalls, ToolMode, recorded_calls
from turnwise.orchestrator.garbage import collected_seldom
from turnwise.orchestrator.model_hosts import ModelHosts, Spec
from turnwise.orchestrator.parts import Prepared, connect, continued, host_of
from turnwise.orchestrator.progress import Status
from turnwise.orchestrator.reproducibility import cautions, changed
from turnwise.orchestrator.session import Session
from turnwise.orchestrator.settings import Settings
from turnwise.orchestrator.tasks import endpoints_of_world, specs_of_world, wrong_tasks
from turnwise.orchestrator.tool_servers import (
    Listed,
    NotedTools,
    changed_list,
    list_difference,
    pinned,
    relisted,
    servers_of,
    settings_problems,
    tools_info,
    tools_of_journal,
)
from turnwise.sandbox.build.code import Code, Language, Source, prepare
from turnwise.sandbox.build.programs import TITLES, InterpretedLanguage, interpreted
from turnwise.tools.desk import ToolDesk
from turnwise.tools.server_settings import ServerSettings
from turnwise.world import Resolved, SourceFiles, World
from turnwise.world.meaning.sources import JAVASCRIPT_ENDINGS
from turnwise.world.plan import build_plan

NO_TOOLS: Final = NotedTools()

A = TypeVar("A")
B = TypeVar("B")


# -- a new run ---------------------------------------------------------------------------------------------------


async def begin(world: World, journal: Path, settings: Settings, status: Status) -> Session:
    """Start a run of a world, with a new journal."""
    async with AsyncExitStack() as stack:
        stack.enter_context(collected_seldom(set_aside=False))
        resolved, specs = checked(world)
        servers = servers_of(resolved)
        prepared = await prepare_parts(stack, settings, status, sources_of(resolved), specs, servers)
        tools = pinned(resolved, prepared.listed)
        machine, file = new_run(stack, journal, resolved, specs, prepared.codes, prepared.host.models, tools)
        prepared = replace(prepared, park_after_ms=resolved.park_after_ms)
        status.doing = "starting sandboxes"
        return await connect(stack, settings, prepared, machine, file)


def checked(world: World) -> tuple[Resolved, list[Spec]]:
    """Return a world, resolved, and its models. Raises `WorldError` with all that is wrong with them."""
    resolved = world.resolve()
    if problems := [*wrong_tasks(world), *settings_problems(resolved)]:
        raise WorldError(problems)
    return resolved, [*specs_of_world(resolved), *endpoints_of_world(resolved)]


def new_run(
    stack: AsyncExitStack,
    journal: Path,
    resolved: Resolved,
    specs: Sequence[Spec],
    codes: Mapping[str, Code],
    models: Mapping[str, ModelInfo],
    tools: tuple[ToolServerPlan, ...] = (),
) -> tuple[Machine, Journal]:
    """Begin a journal, which the stack closes, and the machine of a run that has not begun."""
    plan = plan_of(resolved, codes, models, tools)
    outside_box.discard(journal)
    file = stack.enter_context(
        Journal.create(
            journal,
            plan=plan_to_json(plan),
            info=info_of(specs, NotedTools(tuple(servers_of(resolved)), resolved.park_after_ms)),
            versions=versions_of(models),
            codes=code_sources(resolved, codes),
            agents=first_agents(plan),
        )
    )
    return Machine(plan, file.header.versions), file


def plan_of(
    resolved: Resolved,
    codes: Mapping[str, Code],
    models: Mapping[str, ModelInfo],
    tools: tuple[ToolServerPlan, ...] = (),
) -> Plan:
    """Return the plan of a world, given what its kinds execute, what was loaded, and what servers have listed."""
    return build_plan(
        resolved,
        {kind: code.hash for kind, code in codes.items()},
        {name: info.sha256 for name, info in models.items()},
        tools,
    )


def sources_of(resolved: Resolved) -> dict[str, Source]:
    """Return the sources of each kind, as the sandbox takes them."""
    return {kind: source(resolved.where("agents", kind, "source"), files) for kind, files in resolved.sources.items()}


def source(label: str, files: SourceFiles) -> Source:
    """Return files as the sandbox takes them; `label` names them in errors."""
    return Source(label, files.language, dict(files.files), files.entry)


def code_sources(resolved: Resolved, codes: Mapping[str, Code]) -> dict[str, CodeSource]:
    """Return the sources of a world as a journal keeps them, by the hash of their code."""
    return {codes[kind].hash: code_source(files, codes[kind]) for kind, files in resolved.sources.items()}


def code_source(files: SourceFiles, code: Code) -> CodeSource:
    """Return a source as a journal keeps it."""
    language = interpreted(files.language)
    interpreter = None if language is None else interpreter_hash(language)
    return CodeSource(carrier=code.carrier, entry=files.entry, files=files.files, interpreter=interpreter)


def info_of(specs: Sequence[Spec], tools: NotedTools = NO_TOOLS) -> str:
    """Canonical JSON of where models lie, and how they are loaded, and of how tools are started."""
    models = {
        spec.name: {
            "path": str(spec.path),
            "provider": spec.provider,
            "require": spec.require,
            "variant": spec.variant,
            "task": spec.task,
            "accuracy_level": spec.accuracy_level,
            "context_tokens_max": spec.context_tokens_max,
            "batching": spec.batching,
            "reproducible": spec.reproducible,
            "multiplications_max": spec.multiplications_max,
            "kv_window": spec.kv_window,
        }
        for spec in specs
        if isinstance(spec, ModelSpec)
    }
    endpoints = {
        spec.name: {
            "url": spec.url,
            "model": spec.model,
            "task": spec.task,
            "key": spec.key,
            "seconds_max": spec.seconds_max,
            "requests_at_once": spec.requests_at_once,
            "reply_bytes_max": spec.reply_bytes_max,
        }
        for spec in specs
        if isinstance(spec, EndpointSpec)
    }
    found = {"models": models} | ({"endpoints": endpoints} if endpoints else {})
    return canonical(found | tools_info(tools))


def interpreter_hash(language: InterpretedLanguage = "python") -> str:
    """SHA-256 (hex) of the interpreter of a language in this installation."""
    if language == "python":
        from turnwise.sandbox import python

        return python.module_info().sha256
    from turnwise.sandbox.javascript import module_info

    return module_info().sha256


def versions_of(models: Mapping[str, ModelInfo]) -> str:
    """Canonical JSON of all that executes a run here: what the execution digest begins with."""
    return canonical(
        {
            "turnwise": __version__,
            "wasmtime": version("wasmtime"),
            "interpreter": interpreter_hash(),
            "machine": platform.machine(),
            "system": platform.system(),
            "models": {
                name: {
                    "provider": info.provider,
                    "nodes": info.nodes,
                    "form": info.form,
                    "numeric": asdict(info.numeric) if info.numeric else None,
                    "versions": info.versions,
                }
                for name, info in models.items()
            },
        }
    )


# -- an old run --------------------------------------------------------------------------------------------------


async def resume(journal: Path, settings: Settings, status: Status, parents: Sequence[Path] = ()) -> Session:
    """Go on with a run from its last committed round."""
    async with AsyncExitStack() as stack:
        status.doing = "reading the journal"
        file = stack.enter_context(Journal.open(journal, write=True, parents=parents))
        plan = file.header.plan_at()
        specs: list[Spec] = [*specs_of(file, settings.models), *endpoints_of(file, settings.models)]
        tools = tools_of_journal(file)
        servers = tools.servers if tools.mode == "live" else ()
        prepared = await prepare_parts(stack, settings, status, stored_sources(file, plan), specs, servers)
        prepared = replace(prepared, park_after_ms=tools.park_after_ms)
        if tools.servers and tools.mode != "live":
            prepared = replace(prepared, desk=forked_calls(tools.mode, file, parents))
        models = prepared.host.models
        check_codes(file, plan, prepared.codes)
        check_models(journal, plan, models)
        text = accepted_tools(str(file.path), plan, prepared.listed, settings)
        if text is not None:
            file.writer.will_change(file.rounds.last_round + 1, ChangeRecord("plan", text=text))
        versions = versions_of(models)
        status.notices += changed(file, models)
        machine = continued(file, versions=versions, info=info_of(specs, tools))
        status.doing = "starting sandboxes"
        return await connect(stack, settings, prepared, machine, file)


def stored_sources(
    file: Journal, plan: Plan, interpreters: Mapping[InterpretedLanguage, Path] | None = None
) -> dict[str, Source]:
    """Read the sources of each kind from the journal. Raises `JournalError` if this installation cannot execute it.

    `interpreters` are those of a language, if they are not this installation's.
    """
    stored = file.header.codes
    given = {name: sha256(path.read_bytes()).hexdigest() for name, path in (interpreters or {}).items()}
    sources = {}
    for name, code_hash in codes_of(plan).items():
        code = stored.get(code_hash)
        if code is None or code.entry not in dict(code.files):
            raise JournalError(
                f"the code of {name} is missing",
                where=str(file.path),
                expected=code_hash,
                hint="The journal has been damaged or changed after it was written.",
            )
        language = _language(code)
        if (interpreter := interpreted(language)) is not None:
            mine = given.get(interpreter) or interpreter_hash(interpreter)
            if code.interpreter != mine:
                raise JournalError(
                    f"its {TITLES[interpreter]} agents ran on another build of their interpreter",
                    where=str(file.path),
                    expected=code.interpreter,
                    actual=mine,
                    hint="Use the installation of Turnwise that made the journal: "
                    "the same wheel has the same interpreter.",
                )
        sources[name] = Source(f"agents.{name}.source", language, dict(code.files), code.entry)
    return sources


def codes_of(plan: Plan) -> dict[str, str]:
    """Return the hash of what each kind executes, and of what executes code for agents, by name."""
    codes = {kind.name: kind.code for kind in plan.kinds}
    return codes if plan.run_python is None else codes | {RUNNER: plan.run_python}


def _language(code: CodeSource) -> Language:
    if code.interpreter is not None:
        return "javascript" if code.entry.endswith(JAVASCRIPT_ENDINGS) else "python"
    return "wat" if code.entry.endswith(".wat") else "wasm"


def specs_of(file: Journal, paths: Mapping[str, Path]) -> list[ModelSpec]:
    """Return the journal's models that are loaded, where they were, or where `paths` says."""
    info = stored_object(file.header.info, "info of a writer", file.path)
    models, endpoints = info.get("models"), info.get("endpoints", {})
    try:
        replaced = [ModelSpec(name, paths[name]) for name in endpoints if name in paths]
        return replaced + [
            ModelSpec(
                name,
                paths.get(name, Path(place["path"])),
                place["provider"],
                place["require"],
                place.get("variant"),
                place.get("task"),
                place.get("accuracy_level"),
                place.get("context_tokens_max"),
                place.get("batching"),
                place.get("reproducible", True),
                place.get("multiplications_max"),
                place.get("kv_window", False),
            )
            for name, place in models.items()  # type: ignore[union-attr]  # what is none is caught below
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise damaged(file.path, f"info of a writer does not say where models are: {error}") from error


def endpoints_of(file: Journal, paths: Mapping[str, Path]) -> list[EndpointSpec]:
    """Return the journal's models behind URLs, but for those that `paths` replaces by folders."""
    endpoints = stored_object(file.header.info, "info of a writer", file.path).get("endpoints", {})
    try:
        return [
            EndpointSpec(name, **place)
            for name, place in endpoints.items()  # what is none is caught below
            if name not in paths
        ]
    except (AttributeError, TypeError) as error:
        raise damaged(file.path, f"info of a writer does not say where models are: {error}") from error


def check_codes(file: Journal, plan: Plan, codes: Mapping[str, Code]) -> None:
    """Compare what was compiled with what the plan and the journal name."""
    stored = {code: source.carrier for code, source in file.header.codes.items()}
    for name, code_hash in codes_of(plan).items():
        expected = code_hash, stored.get(code_hash)
        actual = codes[name].hash, codes[name].carrier
        if expected != actual:
            raise JournalError(
                f"the stored code of {name} is not what the run executed",
                where=str(file.path),
                expected=expected,
                actual=actual,
                hint="The journal has been damaged or changed after it was written.",
            )
    if strangers := stored.keys() - {code for _, of in file.header.plans() for code in codes_of(of).values()}:
        raise damaged(file.path, "it holds code that no agent executes", actual=sorted(strangers))


def check_models(journal: Path, plan: Plan, models: Mapping[str, ModelInfo]) -> None:
    """Compare what was loaded with what the plan names."""
    for name, expected in plan.models:
        if name in models and models[name].sha256 != expected:
            raise JournalError(
                f"the model {name} is not the one that the run used",
                where=str(journal),
                expected=expected,
                actual=models[name].sha256,
                hint=f"Give the folder with the right model: --model {name}=PATH",
            )


def forked_calls(mode: ToolMode, file: Journal, parents: Sequence[Path]) -> ForkedCalls:
    """Return what stands for servers in a fork that calls none. `parents` are where to look for its parent."""
    if mode == "deny" or file.parent is None:
        return ForkedCalls(None if mode == "deny" else {})
    with Journal.open(file.parent_path, parents=parents) as parent:
        return ForkedCalls(recorded_calls(parent, file.parent.round))


def accepted_tools(where: str, plan: Plan, listed: Listed, settings: Settings) -> str | None:
    """Compare the tools that servers have listed with the plan's; return the change of it, if it is accepted."""
    tools = []
    for server in plan.tools:
        if server.name not in listed:
            tools.append(server)
            continue
        specs = listed[server.name]
        difference = list_difference(server, specs)
        if difference is not None and not settings.accept_tools:
            raise changed_list(where, server.name, difference)
        tools.append(relisted(server, specs))
    return plan_change(plan, replace(plan, tools=tuple(tools)))


# -- both --------------------------------------------------------------------------------------------------------


async def prepare_parts(
    stack: AsyncExitStack,
    settings: Settings,
    status: Status,
    sources: Mapping[str, Source],
    specs: Sequence[Spec],
    servers: Sequence[ServerSettings] = (),
) -> Prepared:
    """Compile all sources, load all models and start all tools, at once. The stack owns what was opened."""
    status.doing = "loading " + ", ".join([spec.name for spec in specs]) if specs else "preparing agents"
    host, answers = host_of(specs, settings)
    stack.push_async_callback(host.close)

    def announce(line: str) -> None:
        status.doing = line

    desk = ToolDesk(servers) if servers else None
    if desk is not None:
        stack.push_async_callback(desk.close)
    codes, listed = await _both(prepare(list(sources.values()), announce=announce), _started(host, desk))
    status.notices += [info.fallback for info in host.models.values() if info.fallback]
    status.notices += cautions(host.models)
    status.notices += [] if desk is None else desk.notices
    return Prepared(dict(zip(sources, codes, strict=True)), host, answers, desk, listed)


async def _started(host: ModelHosts, desk: ToolDesk | None) -> Listed:
    """Load models and start servers of tools; return what these have listed."""
    if desk is None:
        await host.start()
        return {}
    _, listed = await _both(host.start(), desk.start())
    return listed


async def _both(first: Awaitable[A], second: Awaitable[B]) -> tuple[A, B]:
    """Wait for two awaitables; if one fails the other is cancelled, and the failure itself is raised."""
    one, two = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        return await asyncio.gather(one, two)
    except BaseException:
        one.cancel()
        two.cancel()
        await asyncio.gather(one, two, return_exceptions=True)
        raise
