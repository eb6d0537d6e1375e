"""The `generate` effect in the words of the OpenAI API: what it can say is said, and what it cannot is refused.

Nothing is left out silently: a parameter that the API does not have would otherwise be one that does nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from turnwise.core.answer_schema import schema_problem, violation
from turnwise.core.canonical import canonical
from turnwise.inference.requests.generate_request import (
    TOKENS_MAX_DEFAULT,
    ChatMessage,
    Finish,
    Generation,
    parse,
)
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.tool_calls.told_request import read_arguments

SEED_MAX: Final = 2**31 - 1
"""Largest seed: servers keep it in 32 bits."""

WIRE_NAME_CHARS_MAX: Final = 64
"""Characters of a tool's name in the API."""

NAME_CHARS_MAX: Final = 200
"""Characters of a name that an answer calls and nobody has told of."""

_FINISHES: Final[Mapping[str, Finish]] = {"stop": "end", "tool_calls": "end", "length": "length"}


def chat_request(model: str, body: str, seed: int) -> tuple[str, dict[str, Any], Generation]:
    """Return the path, the body and the checked form of a request. Raises Refusal for what the API cannot say."""
    asked = parse(body)
    _check(asked)
    sampling = asked.sampling
    members: dict[str, Any] = {"model": model, "temperature": sampling.temperature, "stream": False}
    if sampling.temperature > 0:
        members["seed"] = seed
    if sampling.top_p is not None:
        members["top_p"] = sampling.top_p
    if sampling.presence_penalty:
        members["presence_penalty"] = sampling.presence_penalty
    if asked.tokens_max != "rest":
        members["max_tokens"] = asked.tokens_max or TOKENS_MAX_DEFAULT
    if asked.stop:
        members["stop"] = list(asked.stop)
    if asked.logit_bias:
        members["logit_bias"] = dict(asked.logit_bias)
    if asked.prompt is not None:
        return "/completions", members | {"prompt": asked.prompt}, asked
    if asked.logprobs is not None:
        members |= {"logprobs": True, "top_logprobs": asked.logprobs}
    if asked.grammar is not None:
        schema = {"name": "answer", "schema": json.loads(asked.grammar.text), "strict": True}
        members["response_format"] = {"type": "json_schema", "json_schema": schema}
    names = wire_names(asked)
    members["messages"] = [_message(message, asked.tools is not None, names) for message in asked.messages]
    return "/chat/completions", members | _tools(asked, names), asked


def wire_names(asked: Generation) -> dict[str, str]:
    """Return the names of tools as the API takes them, which has none with dots. Raises Refusal if two become one."""
    names: dict[str, str] = {}
    called = [call["function"]["name"] for message in asked.messages for call in message.more.get("tool_calls") or ()]
    for name in (*(tool.name for tool in asked.tools.tools), *called) if asked.tools is not None else ():
        names[name] = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[-WIRE_NAME_CHARS_MAX:]
    taken: dict[str, str] = {}
    for name, wire in names.items():
        if taken.setdefault(wire, name) != name:
            raise Refusal("refused", f"the model is behind a URL, where {taken[wire]} and {name} have one name: {wire}")
    return names


def _message(message: ChatMessage, has_tools: bool, names: Mapping[str, str]) -> dict[str, Any]:
    told = {"role": message.role, "content": message.content, **message.more}
    if has_tools and "tool_calls" in told:
        told["tool_calls"] = [
            {
                **call,
                "function": {
                    "name": names[call["function"]["name"]],
                    "arguments": canonical(call["function"]["arguments"]),
                },
            }
            for call in told["tool_calls"]
        ]
    if has_tools and "name" in told:
        told["name"] = names.get(told["name"], told["name"])
    return told


def _tools(asked: Generation, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what is said of tools. Those that may not be called are not told, unless none may."""
    use = asked.tools
    if use is None or not use.tools:
        return {}
    tools = [tool.told() for tool in use.callable or use.tools]
    for tool in tools:
        tool["function"]["name"] = names[tool["function"]["name"]]
    if not use.callable:
        return {"tools": tools, "tool_choice": "none"}
    single = {"parallel_tool_calls": False} if use.calls_max == 1 else {}
    return {"tools": tools, "tool_choice": "required" if use.required else "auto", **single}


def _calls(message: Mapping[str, Any], asked: Generation) -> list[dict[str, Any]]:
    """Return the calls of an answer, as many as were asked for. Raises Refusal for what are none."""
    if asked.tools is None or not asked.tools.callable or message.get("tool_calls") is None:
        return []
    known = {wire: name for name, wire in wire_names(asked).items()}
    calls = []
    for call in _member(message, "tool_calls", list)[: asked.tools.calls_max]:
        function = _member(call, "function", dict)
        name, arguments = _member(function, "name", str), _member(function, "arguments", str)
        calls.append({"tool": known.get(name, name[:NAME_CHARS_MAX]), "args": read_arguments(arguments or "{}")})
    return calls


def _check(asked: Generation) -> None:
    sampling, prompt = asked.sampling, asked.prompt is not None
    missing = {
        "top_k": sampling.top_k is not None,
        "min_p": sampling.min_p is not None,
        "repetition_penalty": sampling.repetition_penalty != 1.0,
        "template": bool(asked.template),
        'on_full = "drop_oldest"': asked.on_full != "error",
        "regex": asked.grammar is not None and asked.grammar.kind == "regex",
        "lark": asked.grammar is not None and asked.grammar.kind == "lark",
    }
    if found := [name for name, given in missing.items() if given]:
        raise Refusal("refused", f"the model is behind a URL, whose API has no {' and no '.join(found)}")
    with_prompt = {
        "json_schema": asked.grammar is not None,
        "logprobs": asked.logprobs is not None,
        'tokens_max = "rest"': asked.tokens_max == "rest",
    }
    if prompt and (found := [name for name, given in with_prompt.items() if given]):
        missed = " and no ".join(found)
        raise Refusal("refused", f"the model is behind a URL, whose API has no {missed} with a prompt: send messages")
    for token, _ in asked.logit_bias:
        if not (token.isascii() and token.isdecimal()):
            raise Refusal("refused", "the model is behind a URL, whose API takes logit_bias by numbers of tokens only")


def chat_reply(value: Any, asked: Generation) -> tuple[str, int]:
    """Return the reply to an agent, and how many tokens were generated. Raises Refusal for what is no answer."""
    choice = _member(_member(value, "choices", list), 0, dict)
    calls: list[dict[str, Any]] = []
    if asked.prompt is not None:
        text = _member(choice, "text", str)
    else:
        message = _member(choice, "message", dict)
        if isinstance(message.get("refusal"), str) and message["refusal"]:
            raise Refusal("refused", f"the endpoint refuses to answer: {message['refusal'][:1_000]}")
        text = "" if message.get("content") is None else _member(message, "content", str)
        calls = _calls(message, asked)
    ended = choice.get("finish_reason")
    finish = _FINISHES.get(ended) if isinstance(ended, str) else None
    if finish is None or (ended == "tool_calls" and not calls):
        raise Refusal("unavailable", f"the answer of the endpoint ended by {json.dumps(ended)[:100]}, not by itself")
    if finish == "end" and asked.stop:
        finish = "stop"  # which of both it was, the API does not say
    if asked.grammar is not None and finish != "length" and not calls:
        _check_schema(text, json.loads(asked.grammar.text))
    usage = value.get("usage") if isinstance(value.get("usage"), dict) else {}
    tokens, prompt_tokens = (_count(usage.get(name)) for name in ("completion_tokens", "prompt_tokens"))
    ok: dict[str, Any] = {"text": text, "finish": finish, "tokens": tokens, "prompt_tokens": prompt_tokens}
    if asked.tools is not None:
        ok["calls"] = calls
    if asked.logprobs is not None:
        ok["logprobs"] = _logprobs(choice, asked.logprobs)
    return canonical({"ok": ok}), tokens or 0


def _check_schema(text: str, schema: Any) -> None:
    """Raise Refusal for an answer that does not follow its schema: some servers take one and look away."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Refusal("unavailable", "the endpoint was asked for JSON, and its answer is none") from None
    if schema_problem(schema) is None and (problem := violation(value, schema)) is not None:
        raise Refusal("unavailable", f"the answer of the endpoint does not follow its schema: {problem}")


def _logprobs(choice: Mapping[str, Any], top_max: int) -> list[dict[str, Any]]:
    entries = _member(_member(choice, "logprobs", dict), "content", list)
    found = []
    for entry in entries:
        top = entry.get("top_logprobs") if isinstance(entry, dict) else None
        others = [_token(one) for one in (top if isinstance(top, list) else [])][:top_max]
        found.append({**_token(entry), "top": others})
    return found


def _token(entry: Any) -> dict[str, Any]:
    text, logprob = _member(entry, "token", str), entry.get("logprob")
    if isinstance(logprob, bool) or not isinstance(logprob, int | float):
        raise Refusal("unavailable", "a log probability of the endpoint is no number")
    return {"id": None, "text": text, "logprob": float(logprob)}


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**53 else None


def _member(value: Any, key: str | int, type_: type) -> Any:
    try:
        found = value[key]
    except (KeyError, IndexError, TypeError):
        found = None
    if not isinstance(found, type_):
        raise Refusal("unavailable", f"the answer of the endpoint has no {key!r} of type {type_.__name__}")
    return found
