"""`/v1/responses`: the newer form of a conversation, without any memory: what was said is sent again each time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.requests.fields import kind, shown
from turnwise.inference.requests.generate_request import MESSAGES_COUNT_MAX, TOKENS_MAX_MAX
from turnwise.inference.tool_calls.call_parser import CallDelta, CallParser, Delta, TextDelta
from turnwise.serving.api_error import ApiError, refuse, unsupported
from turnwise.serving.catalogue import read_model
from turnwise.serving.chat_completions import generate_requests, read_grammar
from turnwise.serving.dispatcher import Answers, MakeRequest
from turnwise.serving.exchange import Origin
from turnwise.serving.messages import ROLES, read_arguments, read_content
from turnwise.serving.parameters import Parameters
from turnwise.serving.sampling import TEMPERATURE_DEFAULT, read_sampling, read_seed
from turnwise.serving.tools import ServedTools, read_tools, tool_members

Event = tuple[str, dict[str, Any]]

INSTRUCTIONS_CHARS_MAX: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ResponseExchange:
    """A request for a response.

    - `tools`: of the request; None where nothing may be called
    - `echo`: members of the response that say what was asked
    """

    model: ModelInfo
    requests: Sequence[MakeRequest]
    streams: bool
    tools: ServedTools | None
    echo: Mapping[str, Any]

    async def whole(self, answers: Answers, origin: Origin) -> dict[str, Any]:
        (reply,) = await answers.replies()
        output = _Output(origin)
        for delta in self._deltas(reply["text"], None):
            output.take(delta)
        output.end()
        return self._response(origin, output, reply)

    async def events(self, answers: Answers, origin: Origin) -> AsyncIterator[tuple[str | None, Any]]:
        number = 0
        output = _Output(origin)
        parser = None if self.tools is None else CallParser(self.tools.form)
        chars = 0
        async for _, event, _ in answers.events():
            found: list[Event] = []
            if number == 0:
                begun = self._response(origin, output, None)
                found += [("response.created", {"response": begun}), ("response.in_progress", {"response": begun})]
            text = event if isinstance(event, str) else event["text"][chars:]
            chars += len(text)
            for delta in self._deltas(text, parser, last=not isinstance(event, str)):
                found += output.take(delta)
            if not isinstance(event, str):
                found += output.end()
                whole = self._response(origin, output, event)
                found.append((f"response.{whole['status']}", {"response": whole}))
            for name, data in found:
                yield name, {"type": name, "sequence_number": number, **data}
                number += 1

    def _deltas(self, text: str, parser: CallParser | None, *, last: bool = True) -> list[Delta]:
        if self.tools is None:
            return [TextDelta(text)] if text else []
        parser = parser or CallParser(self.tools.form)
        return parser.feed(text) + (parser.rest() if last else [])

    def _response(self, origin: Origin, output: _Output, reply: Mapping[str, Any] | None) -> dict[str, Any]:
        cut = reply is not None and reply["finish"] == "length"
        usage = None
        if reply is not None:
            usage = {
                "input_tokens": reply["prompt_tokens"],
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": reply["tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": reply["prompt_tokens"] + reply["tokens"],
            }
        return {
            "id": f"resp_{origin.name}",
            "object": "response",
            "created_at": origin.created_s,
            "status": "in_progress" if reply is None else "incomplete" if cut else "completed",
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "model": origin.model.name,
            "output": output.items(cut=cut),
            "previous_response_id": None,
            "store": False,
            "background": False,
            "service_tier": "default",
            "system_fingerprint": origin.fingerprint,
            **self.echo,
            "usage": usage,
        }


class _Output:
    """The items of a response, as they come, and the events that tell of them."""

    def __init__(self, origin: Origin) -> None:
        self._name = origin.name
        self._items: list[dict[str, Any]] = []

    def items(self, *, cut: bool = False) -> list[dict[str, Any]]:
        """Return the items so far; `cut`: the last of them ended before its end."""
        items = [dict(item) for item in self._items]
        if cut and items:
            items[-1]["status"] = "incomplete"
        return items

    def take(self, delta: Delta) -> list[Event]:
        """Take what has come; return its events."""
        if isinstance(delta, TextDelta):
            return self._text(delta.text)
        return self._call(delta)

    def end(self) -> list[Event]:
        """End the last item; return its events."""
        if not self._items or self._items[-1]["status"] == "completed":
            return []
        item, index = self._items[-1], len(self._items) - 1
        place = {"output_index": index, "item_id": item["id"]}
        item["status"] = "completed"
        done = ("response.output_item.done", {"output_index": index, "item": dict(item)})
        if item["type"] == "function_call":
            told = {**place, "name": item["name"], "arguments": item["arguments"]}
            return [("response.function_call_arguments.done", told), done]
        part = item["content"][0]
        told = {**place, "content_index": 0, "text": part["text"], "logprobs": []}
        return [
            ("response.output_text.done", told),
            ("response.content_part.done", {**place, "content_index": 0, "part": part}),
            done,
        ]

    def _text(self, text: str) -> list[Event]:
        events: list[Event] = []
        if not self._items or self._items[-1]["type"] != "message" or self._items[-1]["status"] == "completed":
            events += self.end()
            begun = {"type": "message", "role": "assistant", "status": "in_progress", "content": []}
            events += self._begin("msg", begun)
            empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            place = {"output_index": len(self._items) - 1, "item_id": self._items[-1]["id"], "content_index": 0}
            events.append(("response.content_part.added", {**place, "part": empty}))
            self._items[-1]["content"] = [empty]
        item = self._items[-1]
        part = {**item["content"][0], "text": item["content"][0]["text"] + text}
        item["content"] = [part]
        place = {"output_index": len(self._items) - 1, "item_id": item["id"], "content_index": 0}
        return [*events, ("response.output_text.delta", {**place, "delta": text, "logprobs": []})]

    def _call(self, delta: CallDelta) -> list[Event]:
        if delta.name is not None:
            item = {
                "type": "function_call",
                "call_id": f"call_{self._name}_{delta.index}",
                "name": delta.name,
                "arguments": "",
                "status": "in_progress",
            }
            return [*self.end(), *self._begin("fc", item)]
        item = self._items[-1]
        item["arguments"] += delta.arguments
        place = {"output_index": len(self._items) - 1, "item_id": item["id"]}
        return [("response.function_call_arguments.delta", {**place, "delta": delta.arguments})]

    def _begin(self, prefix: str, item: dict[str, Any]) -> list[Event]:
        index = len(self._items)
        self._items.append({"id": f"{prefix}_{self._name}_{index}", **item})
        return [("response.output_item.added", {"output_index": index, "item": dict(self._items[-1])})]


def read_response(members: Parameters, models: Mapping[str, ModelInfo]) -> ResponseExchange:
    """Read a request. Raises ApiError naming what is wrong with it, or is not supported."""
    _refuse_memory(members)
    info = read_model(members, models, "generate")
    instructions = members.text("instructions")
    if instructions is not None and len(instructions) > INSTRUCTIONS_CHARS_MAX:
        refuse(f"instructions has more than {INSTRUCTIONS_CHARS_MAX:,} characters", "instructions")
    messages = [] if instructions is None else [{"role": "system", "content": instructions}]
    messages += _input(members)
    sampling = read_sampling(members)
    tokens_max = members.integer("max_output_tokens", 1, TOKENS_MAX_MAX)
    told = {name: members.peek(name) for name in ("tools", "tool_choice", "text")}
    tools = read_tools(members, info.tools, flat=True)
    body: dict[str, Any] = {**sampling, "tokens_max": tokens_max or "rest"}
    text = members.members("text") or Parameters({}, "text")
    read_grammar(members, body, text, "format", tools)
    text.only("verbosity", (), "models have no such setting: say it in a message")
    text.done()
    body |= {"messages": messages, **tool_members(tools, messages)}
    truncation = members.text("truncation") or "disabled"
    if truncation not in ("auto", "disabled"):
        refuse(f"truncation must be auto or disabled, not {shown(truncation)}", "truncation")
    if truncation == "auto":
        body["on_full"] = "drop_oldest"
    metadata = members.table("metadata") or {}
    seed, streams = read_seed(members), members.boolean("stream")
    options = members.members("stream_options")
    if options is not None:
        options.only("include_obfuscation", (False,), "nothing is added to what is streamed")
        options.done()
    _refuse_what_is_not_here(members)
    members.done()
    echo = {
        "instructions": instructions,
        "metadata": metadata,
        "max_output_tokens": tokens_max,
        "temperature": sampling.get("temperature", TEMPERATURE_DEFAULT),
        "top_p": sampling.get("top_p", 1.0),
        "tools": told["tools"] or [],
        "tool_choice": told["tool_choice"] or "auto",
        "parallel_tool_calls": tools is None or tools.parallel,
        "text": told["text"] or {"format": {"type": "text"}},
        "truncation": truncation,
        "reasoning": {"effort": None, "summary": None},
    }
    return ResponseExchange(info, generate_requests(info, body, seed, 1, streams), streams, tools, echo)


def _input(members: Parameters) -> list[dict[str, Any]]:
    value = members.take("input")
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        refuse("input must be text, or a list of at least one item", "input", "missing_required_parameter")
    if len(value) > MESSAGES_COUNT_MAX:
        refuse(f"input has {len(value)} items, at most {MESSAGES_COUNT_MAX} are allowed", "input")
    messages: list[dict[str, Any]] = []
    for index, item in enumerate(value):
        where = f"input[{index}]"
        if not isinstance(item, dict):
            refuse(f"{where} must be an object, not {kind(item)}", where)
        _item(Parameters(item, where), where, messages)
    return messages


def _item(members: Parameters, where: str, messages: list[dict[str, Any]]) -> None:
    form = members.text("type") or "message"
    members.ignored("id", "status", "phase")
    if form == "message":
        role = members.required_text("role")
        if role not in ROLES or role == "tool":
            refuse(f"{where}.role is {shown(role)}, which is none of a message's", f"{where}.role", "invalid_value")
        content = read_content(members.take("content"), f"{where}.content")
        messages.append({"role": "system" if role == "developer" else role, "content": content})
    elif form == "function_call":
        number, name = members.required_text("call_id"), members.required_text("name")
        arguments = read_arguments(members.text("arguments") or "{}", where)
        call = {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": ""})
        messages[-1].setdefault("tool_calls", []).append(call)
    elif form == "function_call_output":
        number = members.required_text("call_id")
        content = read_content(members.take("output"), f"{where}.output")
        messages.append({"role": "tool", "content": content, "tool_call_id": number})
    else:
        unsupported(f"{where}.type", f"{shown(form)} is none of message, function_call and function_call_output")
    members.done()


def _refuse_memory(members: Parameters) -> None:
    for name in ("previous_response_id", "conversation"):
        if members.given(name):
            raise ApiError(
                400, f"{name} is not supported: nothing is stored, so send the whole conversation as input", name,
                "unsupported_parameter",
            )  # fmt: skip
    members.only("store", (False,), "nothing is stored")


def _refuse_what_is_not_here(members: Parameters) -> None:
    members.ignored("user", "safety_identifier", "prompt_cache_key")
    members.only("service_tier", ("auto", "default"), "there is one tier")
    members.only("background", (False,), "answers come while the client waits")
    members.only("include", ([],), "there is nothing more to include")
    members.only("reasoning", ({},), "models have no such setting")
    members.only("top_logprobs", (0,), "use /v1/chat/completions for log probabilities")
    members.only("max_tool_calls", (), "the server runs no tools")
    members.only("prompt", (), "no prompts are stored")
