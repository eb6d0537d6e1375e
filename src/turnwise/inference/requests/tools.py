"""The tools of a `generate` request: functions that the model may call, and what is bound to be called.

A request that has `tools` speaks of calls in one form, whatever the model's own is: an assistant's message has
`tool_calls`, each with `id`, `type` and `function` (`name`, and `arguments` as an object), and a message of the role
`tool` has `tool_call_id`. The inference process turns them into what the model's chat template writes
(`turnwise.inference.tool_calls`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from turnwise.core.canonical import canonical
from turnwise.inference.requests.fields import Fields, check_chars, kind, refuse, shown

ToolChoice = Literal["auto", "required", "none"]

TOOLS_COUNT_MAX: Final = 128
TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_./-]{1,200}")
"""A tool's name, which stands within a JSON text as it is. Agents call tools by `SERVER.NAME`."""
DESCRIPTIONS_CHARS_MAX: Final = 65_536
SCHEMAS_CHARS_MAX: Final = 32_768
CALLS_MAX_DEFAULT: Final = 16
CALLS_MAX_MAX: Final = 64
CALL_ID_CHARS_MAX: Final = 256
MESSAGE_CALLS_MAX: Final = 256
"""Calls in one message."""

_TOOL_KEYS: Final = frozenset({"name", "description", "parameters", "strict"})
_CALL: Final = 'an object with id, type "function" and function, which has name and arguments (an object)'


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that may be called.

    - `name`: by which it is called (`TOOL_NAME`)
    - `description`: words about it for the model; None for none
    - `parameters`: the JSON schema of its arguments
    - `strict`: False if a schema that no grammar can follow is no fault, since whoever is called checks arguments
    """

    name: str
    description: str | None
    parameters: Mapping[str, Any]
    strict: bool = True

    def told(self) -> dict[str, Any]:
        """Return the tool as chat templates are told of it."""
        about = {} if self.description is None else {"description": self.description}
        return {"type": "function", "function": {"name": self.name, **about, "parameters": dict(self.parameters)}}


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The use of tools in one answer.

    - `tools`: that the model is told of; none where calls are spoken of, and cannot be made
    - `callable`: those of them that may be called
    - `required`: whether something must be called
    - `calls_max`: calls in the answer, at most
    """

    tools: Sequence[Tool]
    callable: Sequence[Tool]
    required: bool = False
    calls_max: int = CALLS_MAX_DEFAULT


def read_tools(fields: Fields) -> ToolUse | None:
    """Read `tools`, `tool_choice` and `calls_max`; None if the request has no `tools`. Raises Refusal."""
    if not fields.given("tools"):
        for name in ("tool_choice", "calls_max"):
            if fields.given(name):
                refuse(f"{name} is given, and no tools")
        return None
    items = fields.items("tools", "tools", TOOLS_COUNT_MAX)
    tools = tuple([_tool(f"tools[{index}]", item) for index, item in enumerate(items)])
    check_chars("the descriptions of tools", sum(len(tool.description or "") for tool in tools), DESCRIPTIONS_CHARS_MAX)
    check_chars("the schemas of tools", sum(len(canonical(tool.parameters)) for tool in tools), SCHEMAS_CHARS_MAX)
    names = [tool.name for tool in tools]
    for index, name in enumerate(names):
        if name in names[:index]:
            refuse(f"two tools have the name {shown(name)}")
    choice, only = _choice(fields, names)
    calls_max = fields.integer("calls_max", 1, CALLS_MAX_MAX)
    allowed = tuple([tool for tool in tools if choice != "none" and (only is None or tool.name in only)])
    return ToolUse(tools, allowed, choice == "required", CALLS_MAX_DEFAULT if calls_max is None else calls_max)


def check_calls(where: str, more: Mapping[str, Any]) -> None:
    """Check what a message says of calls. Raises Refusal for another form than the one that requests have."""
    calls = more.get("tool_calls")
    if calls is not None:
        if not isinstance(calls, list) or not 0 < len(calls) <= MESSAGE_CALLS_MAX:
            refuse(f"{where}.tool_calls must be a list of 1 to {MESSAGE_CALLS_MAX} calls")
        for index, call in enumerate(calls):
            if not _is_call(call):
                refuse(f"{where}.tool_calls[{index}] must be {_CALL}")
    if (number := more.get("tool_call_id")) is not None and not isinstance(number, str):
        refuse(f"{where}.tool_call_id must be text, not {kind(number)}")


def _is_call(call: Any) -> bool:
    if not isinstance(call, dict) or not call.keys() <= {"id", "type", "function"}:
        return False
    function, number = call.get("function"), call.get("id")
    if call.get("type") != "function" or not isinstance(function, dict) or function.keys() != {"name", "arguments"}:
        return False
    if not isinstance(number, str) or not 0 < len(number) <= CALL_ID_CHARS_MAX:
        return False
    return _is_name(function["name"]) and isinstance(function["arguments"], dict)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and TOOL_NAME.fullmatch(value) is not None


def _tool(where: str, item: Any) -> Tool:
    if not isinstance(item, dict):
        refuse(f"{where} must be an object with name, description and parameters, not {kind(item)}")
    unknown = min(item.keys() - _TOOL_KEYS, default=None)
    if unknown is not None:
        refuse(f"{where} has the unknown key {shown(unknown)}: a tool has name, description, parameters and strict")
    if not _is_name(item.get("name")):
        refuse(f"{where}.name must be text of 1 to 200 of a-z, A-Z, 0-9, _, ., / and -")
    description, parameters = item.get("description"), item.get("parameters", {})
    if description is not None and not isinstance(description, str):
        refuse(f"{where}.description must be text, not {kind(description)}")
    if not isinstance(strict := item.get("strict", True), bool):
        refuse(f"{where}.strict must be true or false, not {kind(strict)}")
    if not isinstance(parameters, dict):
        refuse(f"{where}.parameters must be an object, a JSON schema, not {kind(parameters)}")
    try:
        canonical(item)
    except (ValueError, RecursionError):
        refuse(f"{where} holds half a character or a number that is not finite, or is nested too deeply")
    return Tool(item["name"], description, {"type": "object", "properties": {}, **parameters}, strict)


def _choice(fields: Fields, names: Sequence[str]) -> tuple[ToolChoice, Sequence[str] | None]:
    """Read `tool_choice`: whether there must be a call, and the names to which calls are bound."""
    value, only = fields.value("tool_choice"), None
    if value is None:
        return "auto", None
    if isinstance(value, dict):
        if value.keys() != {"mode", "tools"} or not isinstance(value["tools"], list) or not value["tools"]:
            refuse("tool_choice must be auto, required, none, or an object with mode and tools (names)")
        value, only = value["mode"], value["tools"]
        for name in only:
            if name not in names:
                refuse(f"tool_choice names {shown(name)}, which is none of the tools")
    choice = _CHOICES.get(value) if isinstance(value, str) else None
    if choice is None:
        refuse(f"tool_choice must be auto, required or none, not {shown(value)}")
    if choice == "required" and not names:
        refuse("tool_choice asks for a call, and there are no tools")
    return choice, only


_CHOICES: Final[dict[str, ToolChoice]] = {"auto": "auto", "required": "required", "none": "none"}
