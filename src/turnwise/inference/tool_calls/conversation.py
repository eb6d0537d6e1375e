"""A conversation with calls and results, as a model's chat template takes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Final

from turnwise.inference.plans.tool_form import CALL_ID, CALL_ID_CHARS, ToolForm
from turnwise.inference.requests.generate_request import ChatMessage
from turnwise.inference.requests.tools import ToolUse
from turnwise.inference.tool_calls.form_texts import OWN_FORM

_OWN_WORDS: Final = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""

_GO_ON: Final = "Answer my question with that."
"""Stands behind results: models that never saw any go on writing some, if nothing asks them for an answer.

For the same reason results are told in plain words: such models repeat tags instead of reading what stands in them.
"""


def told_messages(
    messages: Sequence[ChatMessage], use: ToolUse, form: ToolForm | None, *, takes_system: bool = True
) -> tuple[ChatMessage, ...]:
    """Return a conversation as the model is told of it: with calls and results in the form that its template takes.

    Where the template knows of no tools (`form` None), calls and results become text, and a system message tells of
    the tools of `use` if any may be called; where the template has none of these, the first message tells of them.
    """
    if form is None:
        return _in_own_words(messages, use, takes_system)
    return tuple([replace(message, more=_as_taken(message.more, form)) for message in messages])


def _in_own_words(messages: Sequence[ChatMessage], use: ToolUse, takes_system: bool) -> tuple[ChatMessage, ...]:
    told: list[ChatMessage] = []
    results: list[str] = []
    names: dict[str, str] = {}
    for message in messages:
        if message.role == "tool":
            name = message.more.get("name") or names.get(message.more.get("tool_call_id", ""))
            results.append(f"The result{f' of {name}' if name else ''} is: {message.content}")
            continue
        names |= {call["id"]: call["function"]["name"] for call in message.more.get("tool_calls") or ()}
        _flush(results, told)
        told.append(_with_calls_as_text(message))
    _flush(results, told)
    if not use.callable:
        return tuple(told)
    tools = "\n".join(json.dumps(tool.told(), ensure_ascii=False) for tool in use.tools)
    words = _OWN_WORDS.format(tools=tools)
    if told and told[0].role == "system":
        told[0] = replace(told[0], content=f"{told[0].content}\n\n{words}")
    elif not takes_system and told and told[0].role == "user":
        told[0] = replace(told[0], content=f"{words}\n\n{told[0].content}")
    else:
        told.insert(0, ChatMessage("system", words))
    return tuple(told)


def _flush(results: list[str], told: list[ChatMessage]) -> None:
    """Put the results of one answer's calls, of which there may be none, into one message."""
    if results:
        told.append(ChatMessage("user", "\n".join([*results, _GO_ON])))
        results.clear()


def _with_calls_as_text(message: ChatMessage) -> ChatMessage:
    calls = message.more.get("tool_calls")
    if not calls:
        return message
    functions = [call["function"] for call in calls]
    lines = [
        f"{OWN_FORM.head}{function['name']}{OWN_FORM.middle}"
        f"{json.dumps(function['arguments'], ensure_ascii=False)}{OWN_FORM.tail}"
        for function in functions
    ]
    before = [message.content] if message.content else []
    return ChatMessage(message.role, "\n".join([*before, *lines]))


def _as_taken(more: Mapping[str, Any], form: ToolForm) -> Mapping[str, Any]:
    """Return members of a message with calls as the template takes them, in one order: some write them whole."""
    taken = dict(more)
    slot = CALL_ID in (form.joint or "") + form.tail
    if slot and "tool_call_id" in taken:
        taken["tool_call_id"] = _short(taken["tool_call_id"])
    if "tool_calls" in taken:
        taken["tool_calls"] = [
            {
                "id": _short(call["id"]) if slot else call["id"],
                "type": "function",
                "function": {
                    "name": call["function"]["name"],
                    "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False)
                    if form.arguments_as_text
                    else call["function"]["arguments"],
                },
            }
            for call in taken["tool_calls"]
        ]
    return taken


def _short(name: str) -> str:
    """Return a call's name as the templates want it that write such names: nine letters and digits."""
    return blake2b(name.encode(errors="replace"), digest_size=8).hexdigest()[:CALL_ID_CHARS]
