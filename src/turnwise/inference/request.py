"""The `generate` effect: what an agent may ask of a language model, checked, and what it is answered.

A request is untrusted text. Whatever is wrong with it becomes an answer that the agent can catch (`Refusal`), never a
failure of the host. Replies are results that the run's head covers: their text depends on the request and the model
alone, so no path, time or machine appears in a message.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn

from turnwise.core.canonical import canonical

ErrorKind = Literal["denied", "context_full", "unknown", "refused", "unavailable"]
Finish = Literal["stop", "length", "end"]

TOKENS_MAX_DEFAULT: Final = 128
TOKENS_MAX_MAX: Final = 1_048_576
PROMPT_CHARS_MAX: Final = 4 * 1024 * 1024
MESSAGES_COUNT_MAX: Final = 10_000
ROLE_CHARS_MAX: Final = 64
STOP_COUNT_MAX: Final = 16
STOP_CHARS_MAX: Final = 256
TEMPERATURE_MAX: Final = 100.0
STREAM_BYTES: Final = 32

_KEYS: Final = frozenset(
    {"effect", "model", "prompt", "messages", "tokens_max", "temperature", "top_k", "top_p", "stop"}
)


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A request of one turn. `body` is the effect request's canonical JSON text, `stream` (32 bytes) keys its chance.

    `id` is chosen by the orchestrator, unique among open requests; lower numbers are served first.
    """

    id: int
    model: str
    body: str
    stream: bytes


@dataclass(frozen=True, slots=True)
class GenerateReply:
    """The answer: `body` is canonical JSON text of `{"ok": {…}}` or `{"error": {"kind", "message"}}`."""

    id: int
    body: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose a token. `temperature` 0 is greedy; None turns `top_k` or `top_p` off."""

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Generation:
    """A checked request. Exactly one of `prompt` and `messages` is given.

    `tokens_max` None: `TOKENS_MAX_DEFAULT`, or what the context leaves room for if that is less.
    """

    prompt: str | None
    messages: tuple[ChatMessage, ...]
    tokens_max: int | None
    sampling: Sampling
    stop: tuple[str, ...]


class Refusal(Exception):
    """A request that is answered with an error. `kind` and `message` go to the agent, and into the head."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message


def error_body(kind: ErrorKind, message: str) -> str:
    """The reply that tells an agent why its request was not answered."""
    return canonical({"error": {"kind": kind, "message": message}})


def ok_body(text: str, finish: Finish, tokens: int, prompt_tokens: int) -> str:
    """The reply with generated text. `tokens` counts every sampled token, the end token included."""
    return canonical({"ok": {"text": text, "finish": finish, "tokens": tokens, "prompt_tokens": prompt_tokens}})


def parse(body: str) -> Generation:
    """Check a request. Raises Refusal naming the field, what is expected of it and what was given."""
    request = _decode(body)
    unknown = sorted(request.keys() - _KEYS)
    if unknown:
        known = ", ".join(sorted(_KEYS - {"effect", "model"}))
        _refuse(f"unknown key {_shown(unknown[0])}: a generate request has model, {known}")
    prompt, messages = _prompt(request)
    return Generation(
        prompt,
        messages,
        _integer(request, "tokens_max") if "tokens_max" in request else None,
        Sampling(_temperature(request), _optional_integer(request, "top_k"), _top_p(request)),
        _stop(request),
    )


def _decode(body: str) -> dict[str, Any]:
    try:
        request = json.loads(body, parse_constant=_constant)
        body.encode()
    except (ValueError, RecursionError) as error:
        raise Refusal("refused", "the request is not JSON text") from error
    if not isinstance(request, dict):
        _refuse("the request must be a JSON object")
    return request


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


def _prompt(request: dict[str, Any]) -> tuple[str | None, tuple[ChatMessage, ...]]:
    prompt, messages = request.get("prompt"), request.get("messages")
    if (prompt is None) == (messages is None):
        _refuse("exactly one of prompt (text) and messages (a list) must be given")
    if messages is not None:
        return None, _messages(messages)
    if not isinstance(prompt, str):
        _refuse(f"prompt must be text, not {_type(prompt)}")
    if not prompt:
        _refuse("prompt must not be empty")
    _check_chars("prompt", len(prompt))
    _check_unicode("prompt", prompt)
    return prompt, ()


def _messages(value: Any) -> tuple[ChatMessage, ...]:
    if not isinstance(value, list) or not value:
        _refuse(f"messages must be a list of at least one message, not {_type(value)}")
    if len(value) > MESSAGES_COUNT_MAX:
        _refuse(f"messages has {len(value)} entries, at most {MESSAGES_COUNT_MAX} are allowed")
    messages: list[ChatMessage] = []
    for index, item in enumerate(value):
        where = f"messages[{index}]"
        if not isinstance(item, dict) or item.keys() != {"role", "content"}:
            _refuse(f"{where} must be an object with role and content")
        for key, text in item.items():
            if not isinstance(text, str):
                _refuse(f"{where}.{key} must be text, not {_type(text)}")
            _check_unicode(f"{where}.{key}", text)
        if not 0 < len(item["role"]) <= ROLE_CHARS_MAX:
            _refuse(f"{where}.role must have 1 to {ROLE_CHARS_MAX} characters")
        messages.append(ChatMessage(item["role"], item["content"]))
    _check_chars("messages", sum(len(message.content) for message in messages))
    return tuple(messages)


def _check_chars(name: str, count: int) -> None:
    if count > PROMPT_CHARS_MAX:
        _refuse(f"{name} has {count} characters, at most {PROMPT_CHARS_MAX} are allowed")


def _check_unicode(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(f"{name} holds a surrogate that stands alone, which is not Unicode text")


def _integer(request: dict[str, Any], key: str) -> int:
    value = request[key]
    if type(value) is not int or not 1 <= value <= TOKENS_MAX_MAX:
        _refuse(f"{key} must be a whole number from 1 to {TOKENS_MAX_MAX}, not {_shown(value)}")
    return value


def _optional_integer(request: dict[str, Any], key: str) -> int | None:
    return None if request.get(key) is None else _integer(request, key)


def _number(request: dict[str, Any], key: str, expected: str, allowed: Callable[[float], bool]) -> float:
    """The number as a float, if it is finite and `allowed` says yes."""
    value = request[key]
    if type(value) not in (int, float):
        _refuse(f"{key} must be {expected}, not {_type(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and allowed(number)):
        _refuse(f"{key} must be {expected}, not {_shown(value)}")
    return number


def _temperature(request: dict[str, Any]) -> float:
    if "temperature" not in request:
        return 0.0
    expected = f"a number from 0 (greedy) to {TEMPERATURE_MAX:g}"
    return _number(request, "temperature", expected, lambda value: 0.0 <= value <= TEMPERATURE_MAX)


def _top_p(request: dict[str, Any]) -> float | None:
    if request.get("top_p") is None:
        return None
    return _number(request, "top_p", "a number above 0, at most 1", lambda value: 0.0 < value <= 1.0)


def _stop(request: dict[str, Any]) -> tuple[str, ...]:
    value = request.get("stop")
    if value is None:
        return ()
    if not isinstance(value, list):
        _refuse(f"stop must be a list of texts, not {_type(value)}")
    if len(value) > STOP_COUNT_MAX:
        _refuse(f"stop has {len(value)} entries, at most {STOP_COUNT_MAX} are allowed")
    for index, item in enumerate(value):
        if not isinstance(item, str) or not 0 < len(item) <= STOP_CHARS_MAX:
            _refuse(f"stop[{index}] must be text of 1 to {STOP_CHARS_MAX} characters")
        _check_unicode(f"stop[{index}]", item)
    return tuple(value)


def _refuse(message: str) -> NoReturn:
    raise Refusal("refused", message)


def _type(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "null")


def _shown(value: object) -> str:
    """A value for a message: short, whatever it is."""
    text = canonical(value)
    return text if len(text) <= 60 else text[:57] + "…"
