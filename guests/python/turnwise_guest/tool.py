"""The effects `call` and `tools`: tools outside of the run, and what comes of calling them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from turnwise_guest.errors import EffectError
from turnwise_guest.jsontext import canonical, check_text, short


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the agent may call.

    `name` is that by which `Turn.call` knows it, `description` the server's words, `input_schema` the JSON schema of
    its arguments. `output_schema` is that of `ToolResult.data`, or None. `approve`: a person approves each call.
    """

    name: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None = None
    approve: bool = False


@dataclass(frozen=True, slots=True)
class ToolResult:
    """Result of a call: `text`, and `data`, a JSON value, where the tool gives structured content, or else None.

    Both are a server's words: as far to be trusted as those of a stranger.
    """

    text: str
    data: Any = None

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"ToolResult(text={short(self.text)}, data={short(repr(self.data))})"


def call_request(name: str, args: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the request that calls a tool. Raises `TypeError` or `ValueError` for what cannot be one."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a tool is a text, not {name!r}")
    if not name:
        raise ValueError("the name of a tool is empty")
    check_text(name, "name")
    if args is not None and not isinstance(args, Mapping):
        raise TypeError(f"args is a dict, not {args!r}")
    return {"effect": "call", "tool": name, "args": json.loads(canonical(dict(args or {}), "args"))}


def call_requests(calls: Iterable[str | tuple[str, Mapping[str, Any] | None]]) -> list[dict[str, Any]]:
    """Return the requests that call several tools, each a name, or a pair of a name and arguments."""
    if isinstance(calls, str):
        raise TypeError("calls is a list of pairs (name, args), not a text: use call")
    return [call_request(one, None) if isinstance(one, str) else call_request(*one) for one in calls]


def result_of(reply: Any) -> ToolResult:
    """Read the reply to a call. Raises `EffectError`."""
    if "error" in reply:
        raise EffectError(reply["error"]["kind"], reply["error"]["message"])
    return ToolResult(reply["ok"]["text"], reply["ok"].get("data"))


def tools_of(reply: Any) -> list[Tool]:
    """Read the reply that lists tools. Raises `EffectError`."""
    if "error" in reply:
        raise EffectError(reply["error"]["kind"], reply["error"]["message"])
    return [
        Tool(
            tool["name"],
            tool["description"],
            tool.get("input_schema", {"type": "object"}),
            tool.get("output_schema"),
            tool.get("approve", False),
        )
        for tool in reply["ok"]["tools"]
    ]
