"""The messages of a conversation: from the API's form to those that chat templates are given."""

from __future__ import annotations

import json
from typing import Any, Final

from turnwise.inference.requests.fields import kind, shown
from turnwise.inference.requests.generate_request import MESSAGES_COUNT_MAX
from turnwise.serving.api_error import refuse, unsupported
from turnwise.serving.parameters import Parameters

ROLES: Final = ("system", "developer", "user", "assistant", "tool")
CALLS_MAX: Final = 256


def read_messages(members: Parameters) -> list[dict[str, Any]]:
    """Read `messages`. Raises ApiError."""
    items = members.items("messages", MESSAGES_COUNT_MAX)
    if not items:
        refuse("messages must be a list of at least one message", "messages", "missing_required_parameter")
    return [_message(item, f"messages[{index}]") for index, item in enumerate(items)]


def read_content(value: Any, where: str) -> str:
    """Read a message's text: text, or a list of parts that are text. Raises ApiError."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        refuse(f"{where} must be text or a list of parts, not {kind(value)}", where)
    return "".join(_part(part, f"{where}[{index}]") for index, part in enumerate(value))


def _part(part: Any, where: str) -> str:
    if not isinstance(part, dict):
        refuse(f"{where} must be an object, not {kind(part)}", where)
    members = Parameters(part, where)
    form = members.required_text("type")
    if form == "refusal":
        text = members.text("refusal")
    elif form in ("text", "input_text", "output_text"):
        text = members.text("text")
        members.ignored("annotations", "logprobs")
    else:
        unsupported(f"{where}.type", f"{shown(form)} is no text, and the models that are served read text only")
    members.done()
    if text is None:
        refuse(f"{where} has no text", where)
    return text


def _message(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        refuse(f"{where} must be an object, not {kind(item)}", where)
    members = Parameters(item, where)
    role = members.required_text("role")
    if role not in ROLES:
        refuse(f"{where}.role must be one of {', '.join(ROLES)}, not {shown(role)}", f"{where}.role", "invalid_value")
    message: dict[str, Any] = {"role": "system" if role == "developer" else role}
    calls = members.items("tool_calls", CALLS_MAX) if role == "assistant" else None
    content = members.take("content")
    if content is None and not calls and not members.given("refusal"):
        refuse(f"{where}.content is required", f"{where}.content", "missing_required_parameter")
    message["content"] = "" if content is None else read_content(content, f"{where}.content")
    if calls:
        message["tool_calls"] = [_call(call, f"{where}.tool_calls[{index}]") for index, call in enumerate(calls)]
    if role == "tool":
        message["tool_call_id"] = members.required_text("tool_call_id")
    if role == "assistant":
        message["content"] += members.text("refusal") or ""
        members.ignored("annotations")
        members.only("audio", (), "the models that are served make text only")
        members.only("function_call", (), "it is the form before tool_calls: use these")
    name = members.text("name")
    if name:
        message["name"] = name
    members.done()
    return message


def _call(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        refuse(f"{where} must be an object, not {kind(item)}", where)
    members = Parameters(item, where)
    number = members.required_text("id")
    if members.required_text("type") != "function":
        unsupported(f"{where}.type", "calls of functions are, and no others")
    members.ignored("index")  # a part of streamed calls, which clients put together and send back
    function = members.members("function")
    if function is None:
        refuse(f"{where}.function is required", f"{where}.function", "missing_required_parameter")
    name, text = function.required_text("name"), function.text("arguments") or "{}"
    function.done()
    members.done()
    return {"id": number, "type": "function", "function": {"name": name, "arguments": read_arguments(text, where)}}


def read_arguments(text: str, where: str) -> Any:
    """Read the arguments of a call, which the API holds as text, and templates as an object. Raises ApiError."""
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        refuse(f"the arguments of {where} are not the text of a JSON object", where)
    return arguments
