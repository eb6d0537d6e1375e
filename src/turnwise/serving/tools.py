"""Tools of the API's requests, as members of a generate request, and the form in which calls come back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from turnwise.inference.plans.tool_form import ToolForm
from turnwise.inference.requests.fields import kind, shown
from turnwise.inference.requests.tools import CALLS_MAX_MAX, TOOLS_COUNT_MAX
from turnwise.inference.tool_calls.form_texts import OWN_FORM
from turnwise.serving.api_error import refuse, unsupported
from turnwise.serving.parameters import Parameters

_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")

Choice = Literal["none", "auto", "required"]


@dataclass(frozen=True, slots=True)
class ServedTools:
    """Tools of a request, some of which may be called.

    - `form`: in which calls are written
    - `members`: of the generate request
    - `parallel`: whether there may be several calls
    """

    form: ToolForm
    members: Mapping[str, Any]
    parallel: bool


def read_tools(members: Parameters, form: ToolForm | None, *, flat: bool = False) -> ServedTools | None:
    """Read `tools`, `tool_choice` and `parallel_tool_calls`; None where nothing may be called. Raises ApiError.

    `form` is that of the model; `flat`: a tool has its name beside its type, as the responses API has it.
    """
    items = members.items("tools", TOOLS_COUNT_MAX)
    single = isinstance(asked := members.peek("tool_choice"), dict) and asked.get("type") == "function"
    choice, only = _choice(members, flat=flat)
    parallel = members.boolean("parallel_tool_calls", default=True) and not single
    if not items:
        if choice == "required":
            refuse("tool_choice asks for a call, and there are no tools", "tool_choice")
        return None
    tools = [_tool(item, f"tools[{index}]", flat=flat) for index, item in enumerate(items)]
    names = [tool["name"] for tool in tools]
    if len(set(names)) != len(names):
        refuse("two tools have the same name", "tools")
    for name in only or ():
        if name not in names:
            refuse(f"tool_choice names {shown(name)}, which is none of the tools", "tool_choice")
    if choice == "none":
        return None
    asked_choice = choice if only is None else {"mode": choice, "tools": only}
    told = {"tools": tools, "tool_choice": asked_choice, "calls_max": CALLS_MAX_MAX if parallel else 1}
    return ServedTools(form or OWN_FORM, told, parallel)


def tool_members(tools: ServedTools | None, messages: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return what a generate request says of tools; a conversation that speaks of calls does so without any."""
    if tools is not None:
        return tools.members
    speaks = any(message["role"] == "tool" or message.get("tool_calls") for message in messages)
    return {"tools": []} if speaks else {}


def _choice(members: Parameters, *, flat: bool) -> tuple[Choice, list[str] | None]:
    """Read `tool_choice`: whether there must be a call, and the names to which calls are bound."""
    value = members.take("tool_choice")
    if value is None:
        return "auto", None
    if isinstance(value, str):
        for name in ("none", "auto", "required"):
            if value == name:
                return name, None
        refuse(f"tool_choice must be none, auto, required or an object, not {shown(value)}", "tool_choice")
    if not isinstance(value, dict):
        refuse(f"tool_choice must be text or an object, not {kind(value)}", "tool_choice")
    choice = Parameters(value, "tool_choice")
    form = choice.required_text("type")
    if form == "function":
        names = [_named(choice, flat=flat)]
        choice.done()
        return "required", names
    if form != "allowed_tools":
        unsupported("tool_choice.type", f"{shown(form)} is neither function nor allowed_tools")
    allowed = choice if flat else choice.members("allowed_tools")
    if allowed is None:
        refuse("tool_choice.allowed_tools is required", "tool_choice.allowed_tools")
    mode = allowed.required_text("mode")
    if mode not in ("auto", "required"):
        refuse(f"{allowed.path('mode')} must be auto or required, not {shown(mode)}", allowed.path("mode"))
    items = allowed.items("tools", TOOLS_COUNT_MAX) or refuse("no tools are allowed", allowed.path("tools"))
    names = []
    for index, item in enumerate(items):
        where = f"{allowed.path('tools')}[{index}]"
        one = Parameters(item if isinstance(item, dict) else refuse(f"{where} must be an object", where), where)
        one.only("type", ("function",), "functions are, and no other tools")
        names.append(_named(one, flat=flat))
        one.done()
    allowed.done()
    choice.done()
    return "required" if mode == "required" else "auto", names


def _named(members: Parameters, *, flat: bool) -> str:
    if flat:
        return members.required_text("name")
    function = members.members("function")
    if function is None:
        refuse(f"{members.path('function')} is required", members.path("function"))
    name = function.required_text("name")
    function.done()
    return name


def _tool(item: Any, where: str, *, flat: bool) -> dict[str, Any]:
    if not isinstance(item, dict):
        refuse(f"{where} must be an object, not {kind(item)}", where)
    members = Parameters(item, where)
    form = members.required_text("type")
    if form != "function":
        unsupported(f"{where}.type", f"{shown(form)} is no function, and the server runs no tools")
    function = members if flat else members.members("function")
    if function is None:
        refuse(f"{where}.function is required", f"{where}.function", "missing_required_parameter")
    name = function.required_text("name")
    if not _NAME.fullmatch(name):
        refuse(f"{function.path('name')} must have 1 to 64 of a-z, A-Z, 0-9, _, . and -", function.path("name"))
    description = function.text("description")
    function.boolean("strict")  # schemas are always followed
    parameters = function.table("parameters") or {}
    function.done()
    members.done()
    told = {"name": name, "parameters": {"type": "object", "properties": {}, **parameters}}
    return told if description is None else {**told, "description": description}
