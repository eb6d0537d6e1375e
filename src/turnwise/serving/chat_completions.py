"""`/v1/chat/completions`: a conversation goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.requests.generate_request import TOKENS_MAX_MAX, GenerateRequest
from turnwise.inference.tool_calls.call_parser import CallDelta, CallParser, Delta, TextDelta
from turnwise.serving.api_error import refuse, unsupported
from turnwise.serving.catalogue import read_model
from turnwise.serving.dispatcher import Answers, MakeRequest
from turnwise.serving.exchange import Origin
from turnwise.serving.logprobs import chat_logprobs, read_chat_logprobs, told_entries
from turnwise.serving.messages import read_messages
from turnwise.serving.parameters import Parameters
from turnwise.serving.response_format import read_response_format
from turnwise.serving.sampling import read_choices, read_sampling, read_seed, stream_key
from turnwise.serving.tools import ServedTools, read_tools, tool_members

FINISH: Final[Mapping[str, str]] = {"end": "stop", "stop": "stop", "length": "length"}
"""The API's names of why an answer ended."""


@dataclass(frozen=True, slots=True)
class ChatExchange:
    """A request to go on with a conversation.

    - `includes_usage`: whether the last event of a stream counts tokens
    - `logprobs`: whether log probabilities are asked for
    - `tools`: of the request; None where nothing may be called
    """

    model: ModelInfo
    requests: Sequence[MakeRequest]
    streams: bool
    includes_usage: bool
    logprobs: bool
    tools: ServedTools | None

    async def whole(self, answers: Answers, origin: Origin) -> dict[str, Any]:
        replies = await answers.replies()
        choices = [self._choice(origin, index, reply) for index, reply in enumerate(replies)]
        return {**_head("chat.completion", origin), "choices": choices, "usage": usage(replies)}

    async def events(self, answers: Answers, origin: Origin) -> AsyncIterator[tuple[str | None, Any]]:
        open_: dict[int, _OpenChoice] = {}
        replies: dict[int, dict[str, Any]] = {}
        async for place, event, entries in answers.events():
            if place not in open_:
                open_[place] = _OpenChoice(self._parser())
                yield self._chunk(origin, place, {"role": "assistant", "content": ""})
            choice = open_[place]
            reply = None if isinstance(event, str) else event
            text = event if isinstance(event, str) else event["text"][choice.chars :]
            choice.take(text, entries if reply is None else told_entries(reply)[choice.entries :])
            for delta in choice.deltas(text, last=reply is not None):
                yield self._chunk(origin, place, _delta(delta, origin, place), choice.told())
            if reply is not None:
                replies[place] = reply
                if left := choice.told():
                    yield self._chunk(origin, place, {"content": ""}, left)
                yield self._chunk(origin, place, {}, finish=finish(reply, choice.calls))
        if self.includes_usage:
            counts = usage([replies[place] for place in sorted(replies)])
            yield None, {**_head("chat.completion.chunk", origin), "choices": [], "usage": counts}

    def _parser(self) -> CallParser | None:
        return None if self.tools is None else CallParser(self.tools.form)

    def _choice(self, origin: Origin, index: int, reply: Mapping[str, Any]) -> dict[str, Any]:
        choice = _OpenChoice(self._parser())
        content, calls = "", []
        for delta in choice.deltas(reply["text"], last=True):
            if isinstance(delta, TextDelta):
                content += delta.text
            elif delta.name is not None:
                calls.append(_call(delta, origin, index))
            else:
                calls[delta.index]["function"]["arguments"] += delta.arguments
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if calls:
            message |= {"content": content or None, "tool_calls": calls}
        return {
            "index": index,
            "message": message,
            "logprobs": chat_logprobs(told_entries(reply)) if self.logprobs else None,
            "finish_reason": finish(reply, len(calls)),
        }

    def _chunk(
        self,
        origin: Origin,
        index: int,
        delta: dict[str, Any],
        entries: Sequence[dict[str, Any]] = (),
        finish: str | None = None,
    ) -> tuple[None, dict[str, Any]]:
        logprobs = chat_logprobs(entries) if self.logprobs and entries else None
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        chunk = {**_head("chat.completion.chunk", origin), "choices": [choice]}
        return None, {**chunk, "usage": None} if self.includes_usage else chunk


class _OpenChoice:
    """An answer that comes in pieces: what of it was told, and its calls. `chars`, `entries`: taken so far."""

    def __init__(self, parser: CallParser | None) -> None:
        self.chars = self.entries = 0
        self._parser = parser
        self._untold: list[dict[str, Any]] = []

    @property
    def calls(self) -> int:
        """Number of calls that have begun."""
        return 0 if self._parser is None else self._parser.calls

    def take(self, text: str, entries: Sequence[dict[str, Any]]) -> None:
        """Take a piece, and log probabilities, which are told with the next text."""
        self.chars += len(text)
        self.entries += len(entries)
        self._untold += entries

    def deltas(self, text: str, *, last: bool) -> list[Delta]:
        """Return what is to be told of a piece of text."""
        if self._parser is None:
            return [TextDelta(text)] if text else []
        return self._parser.feed(text) + (self._parser.rest() if last else [])

    def told(self) -> list[dict[str, Any]]:
        """Return the log probabilities that are told now."""
        told, self._untold = self._untold, []
        return told


def finish(reply: Mapping[str, Any], calls: int) -> str:
    """Return the API's name of why an answer has ended."""
    name = FINISH[reply["finish"]]
    return "tool_calls" if calls and name == "stop" else name


def _call(delta: CallDelta, origin: Origin, choice: int) -> dict[str, Any]:
    function = {"name": delta.name, "arguments": delta.arguments}
    return {"id": f"call_{origin.name}_{choice}_{delta.index}", "type": "function", "function": function}


def _delta(delta: Delta, origin: Origin, choice: int) -> dict[str, Any]:
    """Return a part of an answer as a stream tells it. The parts of a call name it by its index."""
    if isinstance(delta, TextDelta):
        return {"content": delta.text}
    if delta.name is not None:
        return {"tool_calls": [{"index": delta.index, **_call(delta, origin, choice)}]}
    return {"tool_calls": [{"index": delta.index, "function": {"arguments": delta.arguments}}]}


def read_chat(members: Parameters, models: Mapping[str, ModelInfo]) -> ChatExchange:
    """Read a request. Raises ApiError naming what is wrong with it, or is not supported."""
    info = read_model(members, models, "generate")
    messages = read_messages(members)
    tools = read_tools(members, info.tools)
    body: dict[str, Any] = {"messages": messages, **read_sampling(members), **tool_members(tools, messages)}
    body["tokens_max"] = _tokens_max(members)
    logprobs = read_chat_logprobs(members)
    if logprobs is not None:
        body["logprobs"] = logprobs
    read_grammar(members, body, members, "response_format", tools)
    if arguments := members.table("chat_template_kwargs"):
        body["template"] = arguments
    seed, choices = read_seed(members), read_choices(members)
    streams = members.boolean("stream")
    includes_usage = read_stream_options(members, streams)
    _refuse_what_is_not_here(members)
    members.done()
    requests = generate_requests(info, body, seed, choices, streams)
    return ChatExchange(info, requests, streams, includes_usage, logprobs is not None, tools)


def generate_requests(
    info: ModelInfo, body: Mapping[str, Any], seed: int, choices: int, streamed: bool
) -> list[MakeRequest]:
    """Return the requests for so many answers, each with a chance of its own."""
    try:
        text = msgspec.json.encode(body).decode()  # in the order of the request: templates write tools as they come
    except RecursionError:
        refuse("the request is nested too deeply")

    def make(stream: bytes, number: int) -> GenerateRequest:
        return GenerateRequest(number, info.name, text, stream, streamed=streamed)

    return [partial(make, stream_key(seed, choice)) for choice in range(choices)]


def read_grammar(
    members: Parameters,
    body: dict[str, Any],
    owner: Parameters | None = None,
    name: str = "response_format",
    tools: ServedTools | None = None,
) -> None:
    """Read the form that the answer must have, and put it into a generate request. Raises ApiError.

    The form is the member `name` of `owner`; without, there is none but a grammar. Beside tools, it is that of text.
    """
    schema = None if owner is None else read_response_format(owner, name)
    forms = {"json_schema": schema, "regex": members.text("regex"), "lark": members.text("lark")}
    given = {key: form for key, form in forms.items() if form is not None}
    if len(given) > 1:
        refuse(f"{' and '.join(given)} are given: an answer follows one grammar", name)
    if tools is not None and given and schema is None:
        refuse(f"{' and '.join(given)} and tools are given: an answer follows one grammar", "tools")
    body.update(given)


def read_stream_options(members: Parameters, streams: bool) -> bool:
    """Read `stream_options`; returns whether usage is told at the end. Raises ApiError."""
    options = members.members("stream_options")
    if options is None:
        return False
    if not streams:
        refuse("stream_options needs stream to be true", "stream_options")
    includes = options.boolean("include_usage")
    options.only("include_obfuscation", (False,), "nothing is added to what is streamed")
    options.done()
    return includes


def usage(replies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Count tokens. The prompt of several answers is one."""
    prompt, completion = replies[0]["prompt_tokens"], sum(reply["tokens"] for reply in replies)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _tokens_max(members: Parameters) -> Any:
    """Read how long the answer may be; all that the context leaves room for, where nothing is said."""
    new = members.integer("max_completion_tokens", 1, TOKENS_MAX_MAX)
    old = members.integer("max_tokens", 1, TOKENS_MAX_MAX)
    if new is not None and old is not None and new != old:
        refuse("max_tokens and max_completion_tokens differ: give one of them", "max_tokens")
    return new or old or "rest"


def _refuse_what_is_not_here(members: Parameters) -> None:
    """Read what has no meaning here: taken where it asks for nothing, refused else."""
    members.ignored("user", "safety_identifier", "prompt_cache_key")
    members.only("store", (False,), "nothing is stored")
    members.only("metadata", ({},), "nothing is stored that it could be kept with")
    members.only("service_tier", ("auto", "default"), "there is one tier")
    members.only("modalities", (["text"],), "the models that are served make text only")
    if members.given("functions") or members.given("function_call"):
        unsupported("functions", "it is the form before tools: use tools and tool_choice")
    for name, why in _REFUSED.items():
        members.only(name, (), why)


_REFUSED: Final = {
    "audio": "the models that are served make text only",
    "prediction": "answers are generated token by token",
    "reasoning_effort": "models have no such setting: chat_template_kwargs passes what a template knows",
    "verbosity": "models have no such setting: say it in a message",
    "web_search_options": "nothing is searched",
}


def _head(kind: str, origin: Origin) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{origin.name}",
        "object": kind,
        "created": origin.created_s,
        "model": origin.model.name,
        "system_fingerprint": origin.fingerprint,
    }
