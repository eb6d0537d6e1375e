"""Puts a run together: compiles what agents execute, loads models, opens the journal, starts sandboxes.

Sources are compiled while models are loaded. Whatever fails closes what was opened before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from turnwise.core.machine import Machine
from turnwise.core.plan import Plan
from turnwise.core.plan_change import plan_change
from turnwise.core.plan_json import plan_to_json
from turnwise.core.records import ChangeRecord
from turnwise.core.state import first_agents
from turnwise.core.tool_plan import ToolServerPlan
from turnwise.errors import JournalError, WorldError
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.journal import Journal
from turnwise.orchestrator import outside_box
from turnwise.orchestrator.forked_calls import ForkedCalls, ToolMode, recorded_calls
from turnwise.orchestrator.garbage import collected_seldom
from turnwise.orchestrator.model_hosts import ModelHosts, Spec
from turnwise.orchestrator.parts import Prepared, connect, continued, host_of
from turnwise.orchestrator.progress import Status
from turnwise.orchestrator.reproducibility import cautions, changed
from turnwise.orchestrator.run_sources import check_codes, code_sources, sources_of, stored_sources
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
    tools_of_journal,
)
from turnwise.orchestrator.writer_notes import endpoints_of, info_of, specs_of, versions_of
from turnwise.sandbox.build.code import Code, Source, prepare
from turnwise.tools.desk import ToolDesk
from turnwise.tools.server_settings import ServerSettings
from turnwise.world import Resolved, World
from turnwise.world.plan import build_plan

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
