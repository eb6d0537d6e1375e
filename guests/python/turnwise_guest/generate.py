"""The `generate` effect: what is asked of a language model, and what comes back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from turnwise_guest.errors import EffectError

FinishReason = Literal["end", "stop", "length"]
"""Why a model stopped: it ended by itself, a stop string came, or `tokens_max` was reached."""

TOKENS_MAX_DEFAULT = 128


class ChatMessage(TypedDict):
    """One message of a conversation, put into the model's own form by its chat template."""

    role: str
    """``"system"``, ``"user"`` or ``"assistant"``; models may know others."""
    content: str


Prompt = str | Sequence[ChatMessage]
"""Text that the model goes on from, or a conversation that it answers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model generated.

    `text` has neither the prompt nor the stop string. `tokens` and `prompt_tokens` count the model's tokens.
    """

    text: str
    finish: FinishReason
    tokens: int
    prompt_tokens: int

    def __str__(self) -> str:
        return self.text


def request(
    model: str,
    prompt: Prompt,
    *,
    tokens_max: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    stop: str | Iterable[str],
) -> dict[str, Any]:
    """Return one effect request, checked, as a JSON object.

    Raises `TypeError` or `ValueError` that names the argument: a wrong call is the agent's mistake, no effect.
    """
    if not isinstance(model, str):
        raise TypeError(f"model is the name of a model of the world file, not {model!r}")
    body: dict[str, Any] = {"effect": "generate", "model": model}
    if isinstance(prompt, str):
        body["prompt"] = prompt
    else:
        body["messages"] = _messages(prompt)
    body["tokens_max"] = _whole("tokens_max", tokens_max)
    body["temperature"] = _number("temperature", temperature)
    if top_k is not None:
        body["top_k"] = _whole("top_k", top_k)
    if top_p is not None:
        body["top_p"] = _number("top_p", top_p)
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p is a probability above 0 and at most 1, not {top_p!r}")
    stops = [stop] if isinstance(stop, str) else list(stop)
    for text in stops:
        if not isinstance(text, str):
            raise TypeError(f"stop holds strings, not {text!r}")
        if not text:
            raise ValueError("an empty stop string would stop everything; leave it out")
    if stops:
        body["stop"] = stops
    return body


def answer(reply: Any) -> Answer:
    """Read one effect reply. Raises `EffectError` where it is an error."""
    if "ok" in reply:
        ok = reply["ok"]
        return Answer(ok["text"], ok["finish"], ok["tokens"], ok["prompt_tokens"])
    error = reply["error"]
    raise EffectError(error["kind"], error["message"])


def _messages(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    if not isinstance(messages, list | tuple):
        raise TypeError(f"messages is a list of {{'role': …, 'content': …}}, not {messages!r}")
    if not messages:
        raise ValueError("messages is empty: a conversation has at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            raise TypeError(f"messages[{index}] is {message!r}, not {{'role': …, 'content': …}}")
        for key, value in message.items():
            if not isinstance(value, str):
                raise TypeError(f"messages[{index}][{key!r}] is a string, not {value!r}")
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def _whole(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} is at least 1, not {value}")
    return value


def _number(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is a number, not {value!r}")
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{name} is a number of at least 0, not {value!r}")
    return number
