"""Calls of tools: what is refused, what an agent is told of tools, and the stages of a call that needs people.

The request is ``{"effect": "call", "tool": "SERVER.TOOL", "args": {…}}``. What comes of a call is its outcome: a reply
(``{"ok": {"text": …, "data": …}}``, or an error), or ``{"ask": {…}}`` where the server has questions to people, upon
whose answers the call is made again, as it is upon those of models (`turnwise.core.sampling`). An approval and such
questions stand as questions of the kind `ask` at the place of the call; their member `call` has what the call goes on
with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from turnwise.core.answer_schema import schema_problem
from turnwise.core.canonical import canonical
from turnwise.core.envelope import error_reply
from turnwise.core.grants import may_call, needs_approval
from turnwise.core.json_text import decode
from turnwise.core.plan import KindGrants, Plan
from turnwise.core.question import ASK, OF_CALL, QUESTION_CHARS_MAX, answered
from turnwise.core.records import EffectRecord
from turnwise.core.tool_plan import ToolPlan, ToolServerPlan, find_tool
from turnwise.core.withheld import Withheld
from turnwise.errors import JournalError

CALL: Final = "call"
"""Kind of the effect that calls a tool."""

TOOLS: Final = "tools"
"""Kind of the effect that lists tools."""

TOOL_NAME_CHARS_MAX: Final = 200
"""Characters of a tool's name in a request."""

STAGES_MAX: Final = 16
"""Times that a server may ask people within one call."""

SHOWN_CHARS_MAX: Final = 2_000
"""Characters of the arguments that a question for approval shows."""

_ASKS: Final = '{"ask":'


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A request, read."""

    tool: str
    """Name as the agent wrote it."""
    args: str
    """Arguments: canonical JSON text of an object."""


def call_of(body: str) -> ToolCall:
    """Read a request. Raises ValueError that says what is wrong with it."""
    members = decode(body)
    if not isinstance(members, dict):
        raise ValueError("a call is an object")
    if unknown := sorted(members.keys() - {"effect", "tool", "args"}):
        raise ValueError(f"a call has no member {unknown[0][:100]!r}")
    tool, args = members.get("tool"), members.get("args", {})
    if type(tool) is not str or not tool or len(tool) > TOOL_NAME_CHARS_MAX:
        raise ValueError(f"'tool' must be the name of a tool, of at most {TOOL_NAME_CHARS_MAX} characters")
    if not isinstance(args, dict):
        raise ValueError("'args' must be an object")
    return ToolCall(tool, canonical(args))


def tool_named(effect: EffectRecord) -> str | None:
    """Return the name of the tool that an effect calls, as the agent wrote it; None for any other effect."""
    return tool_in(effect.request) if effect.kind == CALL else None


def tool_in(request: str) -> str | None:
    """Return the name of the tool in the request of a call; None for what is none, or was taken out."""
    if type(request) is Withheld:
        return None
    try:
        return call_of(request).tool
    except ValueError:
        return None


def tool_of(plan: Plan, body: str) -> tuple[ToolServerPlan, ToolPlan] | None:
    """Return the tool that a request calls, with its server; None where it names none."""
    try:
        return find_tool(plan.tools, call_of(body).tool)
    except ValueError:
        return None


def may_sample(plan: Plan, body: str) -> bool:
    """Return whether the server of the tool that a request calls may ask models in the middle of the call."""
    if all(server.sampling is None for server in plan.tools):
        return False
    found = tool_of(plan, body)
    return found is not None and found[0].sampling is not None


def full_name(server: ToolServerPlan, tool: ToolPlan) -> str:
    """Return the name by which agents call a tool."""
    return f"{server.name}.{tool.name}"


def call_refusal(plan: Plan, agent: str, layers: tuple[KindGrants, ...], body: str) -> str | None:
    """The reply to a call that is not made; None if it is, perhaps after an approval."""
    try:
        call = call_of(body)
    except ValueError as error:
        return error_reply("invalid", str(error))
    found = find_tool(plan.tools, call.tool)
    if found is None:
        return error_reply("unknown_tool", _unknown(plan, call.tool))
    if not may_call(layers, found[0].name, full_name(*found)):
        return error_reply("denied", f"{agent} is not granted the tool {full_name(*found)} (grants.call of its kind)")
    return None


def _unknown(plan: Plan, name: str) -> str:
    for server in plan.tools:
        if name == server.name:
            return f"{name} is a server of {len(server.tools)} tools: name one of them, as in {name}.TOOL"
    return f"there is no tool {name!r} in this world"


def tools_reply(plan: Plan, layers: tuple[KindGrants, ...]) -> str:
    """The reply that lists the tools that an agent may call, in order of name."""
    listed = []
    for server in plan.tools:
        for tool in server.tools:
            name = full_name(server, tool)
            if not may_call(layers, server.name, name):
                continue
            entry: dict[str, Any] = {"name": name, "description": tool.description}
            for member, schema in (("input_schema", tool.input_schema), ("output_schema", tool.output_schema)):
                if schema is not None:
                    entry[member] = decode(schema)
            if needs_approval(layers, server.name, name):
                entry["approve"] = True
            listed.append(entry)
    return canonical({"ok": {"tools": sorted(listed, key=lambda entry: str(entry["name"]))}})


# -- stages ------------------------------------------------------------------------------------------------------


def approval(agent: str, layers: tuple[KindGrants, ...], plan: Plan, body: str) -> str | None:
    """The question whether a call may be made; None where nobody need be asked."""
    found = tool_of(plan, body)
    if found is None or not needs_approval(layers, found[0].name, full_name(*found)):
        return None
    args = call_of(body).args
    if len(args) > SHOWN_CHARS_MAX:
        args = f"{args[:SHOWN_CHARS_MAX]}… ({len(args):,} characters in all)"
    text = f"May {agent} call {full_name(*found)} with {args}?"
    return canonical(
        {"effect": ASK, "question": text, "schema": {"type": "boolean"}, OF_CALL: {"request": decode(body)}}
    )


def asks(outcome: str) -> bool:
    """Return whether the outcome of a call is that its server asks people."""
    return outcome.startswith(_ASKS)


def asking(body: str, outcome: str) -> str:
    """The question to people that an outcome holds, for a call of this request. Raises `JournalError` for none."""
    keys, texts, schemas = [], [], {}
    try:
        asked = decode(outcome)["ask"]
        if type(asked["state"]) is not str or not asked["questions"]:
            raise ValueError
        for question in asked["questions"]:
            keys.append(question["key"])
            texts.append(question["text"])
            schema = question.get("schema")
            schemas[question["key"]] = {} if schema is None or schema_problem(schema) is not None else schema
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise JournalError(
            "the outcome of a call is none",
            actual=outcome,
            hint="The journal has been damaged or changed after it was written.",
        ) from error
    members: dict[str, Any] = {"effect": ASK, "question": "\n".join(texts)[:QUESTION_CHARS_MAX].strip() or "?"}
    if len(keys) == 1:
        if schemas[keys[0]]:
            members["schema"] = schemas[keys[0]]
    else:
        schema = {"type": "object", "properties": schemas}
        if schema_problem(schema) is None:
            members["schema"] = schema
    members[OF_CALL] = {"request": decode(body), "asked": asked}
    return canonical(members)


@dataclass(frozen=True, slots=True)
class CallStage:
    """Continuation of a call when people have answered."""

    request: str
    """The call's own request."""
    answers: str | None = None
    """Canonical JSON text of the answers by their keys, and of the server's state; None before the first call."""
    reply: str | None = None
    """The call's reply, where it is not made: nobody approved."""
    outcome: str | None = None
    """Outcome that is no reply: the server asks people or models, again or for the first time."""


def is_of_call(question: str) -> bool:
    """Return whether a question of the kind `ask` stands at the place of a call."""
    return type(question) is not Withheld and f'"{OF_CALL}":' in question and OF_CALL in decode(question)


def asked_by_server(question: str) -> bool:
    """Return whether a question stands at the place of a call and is its server's."""
    return is_of_call(question) and "asked" in decode(question)[OF_CALL]


def request_of(question: str) -> str:
    """The request of the call at whose place a question stands."""
    return canonical(decode(question)[OF_CALL]["request"])


def outcome_of(question: str) -> str:
    """The outcome of a call by which its server asks a question."""
    return canonical({"ask": decode(question)[OF_CALL]["asked"]})


def stage_after(question: str, reply: str) -> CallStage:
    """Return how a call goes on after the reply to a question at its place."""
    of_call = decode(question)[OF_CALL]
    request = canonical(of_call["request"])
    value = answered(reply)
    if "asked" not in of_call:
        if value is True:
            return CallStage(request)
        return CallStage(request, reply=error_reply("denied", f"nobody approved: {canonical(value)[:200]}"))
    asked = of_call["asked"]
    keys = [entry["key"] for entry in asked["questions"]]
    given = {keys[0]: value} if len(keys) == 1 else value if isinstance(value, dict) else {}
    by_key = {key: given[key] for key in keys if given.get(key) is not None}
    return CallStage(request, canonical({"answers": by_key, "state": asked["state"]}))
