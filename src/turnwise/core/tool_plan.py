"""Tools as a plan pins them: of each server the names, descriptions and schemas, and the bounds of calls.

The form is stored and hashed, so it is public: a list of servers in order of name, each with its tools in order of
name. Descriptions and schemas are a server's own words, and stand in full.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.errors import JournalError

CALLS_MAX_DEFAULT: Final = 100_000
REPLY_BYTES_MAX_DEFAULT: Final = 256 * 1024
SAMPLING_REQUESTS_MAX_DEFAULT: Final = 8
SAMPLING_TOKENS_MAX_DEFAULT: Final = 1_024


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """A tool of a server. Its schemas are canonical JSON texts."""

    name: str
    """Name at its server; agents call it by the server's name, a dot, and this."""
    description: str = ""
    """Description in the server's words: untrusted text."""
    input_schema: str | None = None
    """Schema of the arguments, which are an object; None: any object."""
    output_schema: str | None = None
    """Schema of the structured result; None: there is none, or any."""
    idempotent: bool = False
    """True if a call may be made again when nobody knows what became of it."""
    pure: bool = False
    """True if a result follows from code and arguments alone."""


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """Models that a server may ask in the middle of a call, and the bounds of that."""

    models: tuple[str, ...]
    """Models, in the order of the world: where a server does not say which, it is the first. Not empty."""
    requests_max: int = SAMPLING_REQUESTS_MAX_DEFAULT
    """Requests to models within one call."""
    tokens_max: int = SAMPLING_TOKENS_MAX_DEFAULT
    """Tokens of one answer of a model."""


@dataclass(frozen=True, slots=True)
class ToolServerPlan:
    """A server of tools, and the bounds of calls of it."""

    name: str
    """Name in the world: without a dot, which ends it in the name of a tool."""
    tools: tuple[ToolPlan, ...] = ()
    """Tools in order of name."""
    calls_max: int = CALLS_MAX_DEFAULT
    """Calls that a run makes of it."""
    reply_bytes_max: int = REPLY_BYTES_MAX_DEFAULT
    """Bytes of a reply as JSON."""
    sampling: SamplingPlan | None = None
    """Models that it may ask in the middle of a call; None: it may ask none."""


def find_tool(servers: Iterable[ToolServerPlan], name: str) -> tuple[ToolServerPlan, ToolPlan] | None:
    """Return the tool that agents call by a name, with its server; None if there is none.

    The name of a server alone means its tool where it has one only.
    """
    server_name, dot, tool_name = name.partition(".")
    for server in servers:
        if server.name == server_name:
            if not dot:
                return (server, server.tools[0]) if len(server.tools) == 1 else None
            for tool in server.tools:
                if tool.name == tool_name:
                    return server, tool
            return None
    return None


def servers_to_json(servers: Iterable[ToolServerPlan]) -> list[dict[str, Any]]:
    """Return servers as members of a plan."""
    return [
        {
            "name": server.name,
            "calls_max": server.calls_max,
            "reply_bytes_max": server.reply_bytes_max,
            **({} if server.sampling is None else {"sampling": _sampling_to_json(server.sampling)}),
            "tools": [_tool_to_json(tool) for tool in server.tools],
        }
        for server in servers
    ]


def _sampling_to_json(sampling: SamplingPlan) -> dict[str, Any]:
    return {
        "models": [*sampling.models],
        "requests_max": sampling.requests_max,
        "tokens_max": sampling.tokens_max,
    }


def servers_from_json(value: object) -> tuple[ToolServerPlan, ...]:
    """Read what `servers_to_json` gave. Raises `JournalError` for anything else."""
    try:
        servers = tuple([_server(item) for item in value])  # type: ignore[attr-defined]  # what is none is caught
    except (TypeError, KeyError, ValueError) as error:
        raise _damaged() from error
    if servers_to_json(servers) != value or len({server.name for server in servers}) < len(servers):
        raise _damaged()
    return servers


def server_text(server: ToolServerPlan) -> str:
    """Return all that is pinned of a server's tools as canonical JSON, for comparing two lists."""
    return canonical([_tool_to_json(tool) for tool in server.tools])


def _tool_to_json(tool: ToolPlan) -> dict[str, Any]:
    members: dict[str, Any] = {"name": tool.name, "description": tool.description}
    for name in ("input_schema", "output_schema"):
        if (schema := getattr(tool, name)) is not None:
            members[name] = schema
    return members | {name: True for name in ("idempotent", "pure") if getattr(tool, name)}


def _server(item: dict[str, Any]) -> ToolServerPlan:
    tools = tuple([_tool(tool) for tool in item["tools"]])
    numbers = item["calls_max"], item["reply_bytes_max"]
    if type(item["name"]) is not str or any(type(number) is not int for number in numbers):
        raise ValueError
    sampling = _sampling(item["sampling"]) if "sampling" in item else None
    return ToolServerPlan(item["name"], tools, *numbers, sampling)


def _sampling(item: dict[str, Any]) -> SamplingPlan:
    models, numbers = tuple(item["models"]), (item["requests_max"], item["tokens_max"])
    if not models or any(type(name) is not str for name in models):
        raise ValueError
    if any(type(number) is not int or number < 1 for number in numbers):
        raise ValueError
    return SamplingPlan(models, *numbers)


def _tool(item: dict[str, Any]) -> ToolPlan:
    texts = [item["name"], item["description"], item.get("input_schema", ""), item.get("output_schema", "")]
    if any(type(text) is not str for text in texts):
        raise ValueError
    return ToolPlan(
        item["name"],
        item["description"],
        item.get("input_schema"),
        item.get("output_schema"),
        item.get("idempotent", False) is True,
        item.get("pure", False) is True,
    )


def _damaged() -> JournalError:
    return JournalError(
        "the plan cannot be read: its tools are not of their form",
        hint="The journal is damaged. Go back to a copy of it.",
    )
