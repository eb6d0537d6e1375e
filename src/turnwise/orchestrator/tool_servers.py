"""The tool servers of a world, from what it says to what a plan pins and a desk starts."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from turnwise.core.canonical import canonical
from turnwise.core.plan import Plan
from turnwise.core.tool_plan import SamplingPlan, ToolPlan, ToolServerPlan, server_text
from turnwise.errors import JournalError, Problem, UsageError
from turnwise.journal import Journal
from turnwise.journal.file.errors import damaged
from turnwise.journal.file.stored_json import stored_object
from turnwise.orchestrator.forked_calls import ToolMode, tool_mode
from turnwise.orchestrator.tasks import tasks_of
from turnwise.tools.server_settings import ServerSettings
from turnwise.tools.spec import ToolSpec
from turnwise.world import Resolved
from turnwise.world.problems import nearest, quoted

Listed = Mapping[str, Sequence[ToolSpec]]
"""Tools by their server, as they were listed."""

_NOT_MADE = ("denied", "unknown_tool", "refused")
"""Kinds of errors of calls that were not handed to a server."""


def servers_of(resolved: Resolved) -> list[ServerSettings]:
    """Return the servers of a world as a desk takes them."""
    return [
        ServerSettings(
            name=tool.name,
            kind=tool.kind,
            settings=tool.settings,
            folder=tool.folder,
            environment=tool.environment,
            calls_at_once=tool.calls_at_once,
            seconds_max=tool.seconds_max,
            reply_bytes_max=tool.reply_bytes_max,
            idempotent=tool.idempotent,
        )
        for tool in resolved.tools
    ]


def settings_problems(resolved: Resolved) -> list[Problem]:
    """Return what is wrong with the settings of servers, as far as their kinds can say it without starting them."""
    found = []
    for tool in resolved.tools:
        kind = importlib.import_module(f"turnwise.tools.kinds.{tool.kind}")
        wrong = list(kind.check(tool.settings))
        for key, message, hint in wrong or _sampling_problems(resolved, tool.settings):
            found.append(Problem(resolved.where("tools", tool.name, *key.split(".", 1)), message, hint))
    return found


def _sampling_problems(resolved: Resolved, settings: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with the models that a server may ask: key, message, hint."""
    sampling = sampling_of(settings)
    tasks = {} if sampling is None else tasks_of(resolved)
    for name in () if sampling is None else sampling.models:
        if name not in tasks:
            close = nearest(name, tasks)
            hint = f"Did you mean {quoted(close)}?" if close else f"The world has: {', '.join(tasks) or 'no model'}."
            yield "sampling.models", f"there is no model {quoted(name)}", hint
        elif tasks[name] != "generate":
            message = f"the model {name} is there to {tasks[name]}, and does not generate"
            yield "sampling.models", message, "Name a model that generates text."


def pinned(resolved: Resolved, listed: Listed) -> tuple[ToolServerPlan, ...]:
    """Return the servers of a world as its plan has them."""
    return tuple(
        [
            ToolServerPlan(
                tool.name, _tools(listed[tool.name]), tool.calls_max, tool.reply_bytes_max, sampling_of(tool.settings)
            )
            for tool in resolved.tools
        ]
    )


def sampling_of(settings: Mapping[str, Any]) -> SamplingPlan | None:
    """Return the models that a server may ask, by its settings, which its kind has checked."""
    sampling = settings.get("sampling")
    if sampling is None:
        return None
    bounds = {name: sampling[name] for name in ("requests_max", "tokens_max") if name in sampling}
    return SamplingPlan(tuple(dict.fromkeys(sampling["models"])), **bounds)


def _tools(specs: Sequence[ToolSpec]) -> tuple[ToolPlan, ...]:
    return tuple(
        [
            ToolPlan(
                spec.name,
                spec.description,
                None if spec.input_schema is None else canonical(spec.input_schema),
                None if spec.output_schema is None else canonical(spec.output_schema),
                spec.idempotent,
                spec.pure,
            )
            for spec in specs
        ]
    )


def relisted(server: ToolServerPlan, specs: Sequence[ToolSpec]) -> ToolServerPlan:
    """Return a server as it would be pinned with another list."""
    return replace(server, tools=_tools(specs))


def list_difference(before: ToolServerPlan, specs: Sequence[ToolSpec]) -> str | None:
    """Return in which tools a list is another than the pinned one; None if it is the same."""
    after = relisted(before, specs)
    if server_text(before) == server_text(after):
        return None
    old, new = ({tool.name: tool for tool in server.tools} for server in (before, after))
    said = [f"{name} is new" for name in new if name not in old]
    said += [f"{name} is gone" for name in old if name not in new]
    for name in old.keys() & new.keys():
        parts = [
            part.replace("_", " ")
            for part in ("description", "input_schema", "output_schema", "idempotent", "pure")
            if getattr(old[name], part) != getattr(new[name], part)
        ]
        if parts:
            said.append(f"{name} has another {', '.join(parts)}")
    return "; ".join(sorted(said)[:20])


def changed_list(where: str, server: str, difference: str) -> JournalError:
    """Make the error for a server whose tools are not those that a run is pinned to."""
    return JournalError(
        f"the tools of {server} are not those that the run is pinned to: {difference}",
        where=where,
        hint="If the new list is meant, go on with it: turnwise resume JOURNAL --accept-tools",
    )


@dataclass(frozen=True, slots=True)
class NotedTools:
    """The tools of a run, as its journal notes them so that the run can go on."""

    servers: tuple[ServerSettings, ...] = ()
    """Servers, secrets by reference."""
    park_after_ms: int = 0
    """Milliseconds after which a turn waits for a call beyond its round."""
    mode: ToolMode = "live"
    """Way of calls: a fork may make none."""


# -- where a journal finds its servers ---------------------------------------------------------------------------


def tools_info(noted: NotedTools) -> dict[str, Any]:
    """Return what a journal notes of servers, so that its run can go on: secrets by reference."""
    if not noted.servers:
        return {}
    return {
        "park_after_ms": noted.park_after_ms,
        **({} if noted.mode == "live" else {"tools_mode": noted.mode}),
        "tools": {
            server.name: {
                "kind": server.kind,
                "settings": dict(server.settings),
                "folder": str(server.folder),
                "environment": dict(server.environment),
                "calls_at_once": server.calls_at_once,
                "seconds_max": server.seconds_max,
                "reply_bytes_max": server.reply_bytes_max,
                "idempotent": server.idempotent if isinstance(server.idempotent, bool) else list(server.idempotent),
            }
            for server in noted.servers
        },
    }


def tools_of_journal(file: Journal) -> NotedTools:
    """Return what a journal notes of tools."""
    info = stored_object(file.header.info, "info of a writer", file.path)
    tools = info.get("tools")
    if tools is None:
        return NotedTools()
    try:
        mode = tool_mode(info.get("tools_mode", "live"))
        return NotedTools(tuple(_noted(tools)), int(str(info["park_after_ms"])), mode)
    except (AttributeError, KeyError, TypeError, ValueError, UsageError) as error:
        raise damaged(file.path, f"info of a writer does not say what tools are: {error}") from error


def _noted(tools: Any) -> Iterator[ServerSettings]:
    for name, noted in tools.items():
        idempotent = noted["idempotent"]
        yield ServerSettings(
            name=name,
            kind=noted["kind"],
            settings=noted["settings"],
            folder=Path(noted["folder"]),
            environment=noted["environment"],
            calls_at_once=noted["calls_at_once"],
            seconds_max=noted["seconds_max"],
            reply_bytes_max=noted["reply_bytes_max"],
            idempotent=idempotent if isinstance(idempotent, bool) else tuple(idempotent),
        )


def calls_made(file: Journal, plan: Plan) -> dict[str, int]:
    """Return how many calls a run has handed to each of its servers."""
    made: dict[str, int] = {}
    if plan.tools:
        for name in file.queries.called(_NOT_MADE):
            server = name.partition(".")[0]
            made[server] = made.get(server, 0) + 1
    return made
