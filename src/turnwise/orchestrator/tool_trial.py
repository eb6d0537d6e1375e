"""Tools of a world without a run: what its servers list, and one call on trial.

Each server is started by itself, so one that cannot start keeps no other from being listed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from turnwise.core.calling import STAGES_MAX
from turnwise.core.envelope import error_reply
from turnwise.core.grants import may_call, needs_approval
from turnwise.errors import TurnwiseError, UsageError
from turnwise.orchestrator.known_tools import name_hint
from turnwise.orchestrator.tool_servers import sampling_of, servers_of
from turnwise.tools.desk import ToolDesk
from turnwise.tools.server_settings import ServerSettings
from turnwise.tools.spec import ToolSpec
from turnwise.world import Resolved
from turnwise.world.problems import quoted

_NO_MODEL: Final = error_reply(
    "unavailable", "the tool asks a model, which there is in a run only: call it from an agent"
)


@dataclass(frozen=True, slots=True)
class GrantedTo:
    """A kind of agent that may call a tool."""

    kind: str
    """Name of the kind."""
    approved: bool
    """True if a person approves each call."""


@dataclass(frozen=True, slots=True)
class TrialTool:
    """A tool as its server lists it."""

    name: str
    """Name by which agents call it."""
    spec: ToolSpec
    """Name at its server, description and schemas."""
    granted: tuple[GrantedTo, ...]
    """Kinds of agents that may call it."""


@dataclass(frozen=True, slots=True)
class TrialServer:
    """A server of a world on trial."""

    name: str
    """Name in the world."""
    kind: str
    """Kind of it."""
    tools: tuple[TrialTool, ...]
    """Tools in order of name."""
    left_out: tuple[str, ...]
    """Lines that say which of its tools cannot be used, and why."""
    problem: str | None
    """Reason why it cannot be started; None if it can."""
    models: tuple[str, ...] = ()
    """Models that it may ask in the middle of a call."""


async def list_tools(world: Resolved) -> list[TrialServer]:
    """Start each server of a world, and return what it lists."""
    return list(await asyncio.gather(*[_listed(world, server) for server in servers_of(world)]))


async def try_call(
    world: Resolved, name: str, args: Mapping[str, Any], answers: Mapping[str, Any] | None = None
) -> Any:
    """Call a tool, as an agent does that may; return the outcome, a JSON value.

    Where the tool asks people, `answers` are given by their keys; questions without an answer are the outcome.
    Raises `UsageError` for a tool that there is not, `EnvironmentFailure` for a server that cannot be started.
    """
    servers = {server.name: server for server in servers_of(world)}
    server_name, dot, tool_name = name.partition(".")
    if server_name not in servers:
        raise UsageError(f"there is no tool server {quoted(server_name)}", hint=name_hint(server_name, list(servers)))
    desk = ToolDesk([servers[server_name]])
    try:
        names = [spec.name for spec in (await desk.start())[server_name]]
        if not dot and len(names) == 1:
            tool_name = names[0]
        if tool_name not in names:
            known = [f"{server_name}.{one}" for one in names]
            raise UsageError(f"there is no tool {quoted(name)}", hint=name_hint(name if dot else "", known))
        outcome = json.loads(await desk.call(server_name, tool_name, json.dumps(args)))
        for _ in range(STAGES_MAX):
            asked = outcome.get("ask")
            given = _answers(asked, answers or {}) if asked is not None else None
            if given is None:
                break
            outcome = json.loads(await desk.call(server_name, tool_name, json.dumps(args), given))
        return json.loads(_NO_MODEL) if "sample" in outcome else outcome
    finally:
        await desk.close()


def _answers(asked: Mapping[str, Any], answers: Mapping[str, Any]) -> str | None:
    """Return the answers to the questions of a call as a desk takes them; None if one is missing."""
    keys = [question["key"] for question in asked["questions"]]
    if any(key not in answers for key in keys):
        return None
    return json.dumps({"answers": {key: answers[key] for key in keys}, "state": asked["state"]})


async def _listed(world: Resolved, server: ServerSettings) -> TrialServer:
    desk = ToolDesk([server])
    try:
        specs = (await desk.start())[server.name]
    except TurnwiseError as error:
        return TrialServer(server.name, server.kind, (), (), str(error))
    finally:
        await desk.close()
    tools = [_tool(world, server.name, spec) for spec in specs]
    sampling = sampling_of(server.settings)
    models = () if sampling is None else sampling.models
    return TrialServer(server.name, server.kind, tuple(tools), tuple(desk.notices), None, models)


def _tool(world: Resolved, server: str, spec: ToolSpec) -> TrialTool:
    name = f"{server}.{spec.name}"
    granted = [
        GrantedTo(kind.name, needs_approval((kind.grants,), server, name))
        for kind in world.kinds
        if may_call((kind.grants,), server, name)
    ]
    return TrialTool(name, spec, tuple(granted))
