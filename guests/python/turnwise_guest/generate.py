"""The `generate` effect: what is asked of a language model, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

from turnwise_guest.errors import EffectError
from turnwise_guest.jsontext import decode, short
from turnwise_guest.model_tool import ModelTool, tool_of
from turnwise_guest.tool import Tool

FinishReason = Literal["end", "stop", "length"]
"""Reason why a model stopped: it ended by itself, a stop string came, or `tokens_max` was reached."""


class ChatMessage(TypedDict):
    """One message of a conversation, put into the model's own form by its chat template."""

    role: str
    """``"system"``, ``"user"``, ``"assistant"`` or ``"tool"``; models may know others."""
    content: str
    """Text, maybe empty."""
    tool_calls: NotRequired[list[dict[str, Any]]]
    """Calls of an assistant's message, each ``{"id", "type": "function", "function": {"name", "arguments"}}``."""
    tool_call_id: NotRequired[str]
    """Call to which a message of the role ``"tool"`` is the result."""
    name: NotRequired[str]
    """Name of who or what speaks, for templates that show it."""


Prompt = str | Sequence[ChatMessage]
"""Text that the model goes on from, or a conversation that it answers."""


class ActOptions(TypedDict, total=False):
    """Form that answers are to have: keyword arguments of `Turn.act`, and of `Turn.generate`, which has more."""

    tokens_max: int
    """At most so many tokens. Not given: 128, or what the context leaves where that is less."""
    temperature: float
    """0 (the default) takes the likeliest token each time; above, tokens are drawn with the run's own chance."""
    top_k: int | None
    """Draw from so many of the likeliest tokens."""
    top_p: float | None
    """Draw from the likeliest tokens that together have this probability, above 0 and at most 1."""
    min_p: float | None
    """Draw from tokens that are at least so likely, as a share of the likeliest: 0 to 1."""
    repetition_penalty: float | None
    """Above 1, tokens that the prompt or the answer holds become less likely: 0.1 to 10."""
    presence_penalty: float | None
    """Taken from the logits of tokens that the answer holds: -100 to 100."""
    logit_bias: Mapping[str | int, float] | None
    """Added to the logits of tokens, each named by its id or its text: ``{" the": -100}`` all but forbids it."""
    stop: str | Iterable[str]
    """The answer ends before the first of these texts."""
    logprobs: int | None
    """Tell how likely each token was, and so many alternatives (0 to 20): `Answer.logprobs`."""
    json_schema: Mapping[str, Any] | None
    """The answer is JSON that follows this schema: `Answer.json` reads it. At most one of these three is given."""
    regex: str | None
    """The answer matches this regular expression as a whole."""
    lark: str | None
    """The answer follows this Lark grammar."""
    calls_max: int | None
    """Calls in one answer, at most: 1 to 64. Not given: 16."""
    template: Mapping[str, Any] | None
    """Arguments of the model's chat template, such as ``{"enable_thinking": False}``; with `messages` only."""
    system: str | None
    """The conversation's system prompt, where `messages` have none; goes before the one of the world file."""
    on_full: Literal["error", "drop_oldest"]
    """Handling of what is too long: an error (the default), or the oldest messages (or first tokens) left out."""


class Options(ActOptions, total=False):
    """Form that an answer is to have: the keyword arguments of `Turn.generate` and `Turn.generate_all`."""

    tools: Iterable[Tool | ModelTool | Callable[..., Any] | Mapping[str, Any]] | None
    """Tools that the answer may call: `Answer.calls`. To call them is the agent's matter, or `Turn.act` does it. A tool
    is one of `Turn.tools`, a function, a `ModelTool`, or ``{"name", "description", "parameters"}``; with `messages`
    only."""
    tool_choice: str | Mapping[str, Any] | None
    """``"auto"`` (the default): text or calls; ``"required"``: calls; ``"none"``: text. ``{"mode": "auto" or
    "required", "tools": [names]}`` leaves only these to be called."""


class Alternative(NamedTuple):
    """A token that could have come, and the logarithm of its probability."""

    id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token of an answer, the natural logarithm of its probability, and the likeliest ones at its place.

    Probabilities are the model's own, before temperature, penalties and grammar. `text` is the token's by itself:
    part of a character shows as U+FFFD.
    """

    id: int
    text: str
    logprob: float
    top: tuple[Alternative, ...]


class Call(NamedTuple):
    """A call that a model asks for: the tool's name, and arguments by name.

    `args` are None where they are no JSON object that can be read: cut off by `tokens_max`, for one.
    """

    tool: str
    args: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that a model generated.

    `text` has neither the prompt nor the stop string, nor calls. `tokens` and `prompt_tokens` count the model's tokens.
    `calls` are those of `tools` that it asks for, in order.
    `logprobs` is there if it was asked for, with an entry for each of `tokens`: the end token, and what a stop string
    has cut off, too. `dropped` counts what was left out for ``on_full="drop_oldest"``: messages, or tokens of a prompt.
    """

    text: str
    finish: FinishReason
    tokens: int
    prompt_tokens: int
    logprobs: tuple[TokenLogprob, ...] | None = None
    dropped: int = 0
    calls: tuple[Call, ...] = ()

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Answer({short(self.text)}, finish={self.finish!r}, tokens={self.tokens})"

    def json(self) -> Any:
        """Return the text read as JSON, the counterpart of ``json_schema=``.

        Raises `ValueError` if it is none (`tokens_max` may have cut it off) or is nested more than 1,000 levels deep.
        """
        return decode(self.text)


def settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as members of a request, checked.

    Raises `TypeError` or `ValueError` that names the argument: a wrong call is the agent's mistake, no effect.
    """
    unknown = [name for name in options if name not in Options.__annotations__]
    if unknown:
        raise TypeError(f"there is no option {unknown[0]!r}; there are {', '.join(sorted(Options.__annotations__))}")
    members: dict[str, Any] = {"temperature": _number("temperature", options.get("temperature", 0.0), 0.0)}
    for name, value in options.items():
        if value is not None and name in _CHECKS:
            members[name] = _CHECKS[name](name, value)
    grammars = [name for name in ("json_schema", "regex", "lark") if name in members]
    if len(grammars) > 1:
        raise ValueError(f"{grammars[0]} and {grammars[1]} are given: an answer follows one grammar")
    if members.get("tools") and grammars and grammars != ["json_schema"]:
        raise ValueError(f"{grammars[0]} and tools are given: an answer follows one grammar")
    if members.get("on_full") == "error":
        del members["on_full"]
    if members.get("stop") == []:
        del members["stop"]
    if "tools" not in members and (told := [name for name in ("tool_choice", "calls_max") if name in members]):
        raise TypeError(f"{told[0]} goes with tools")
    return members


def request(model: str, prompt: Prompt, members: Mapping[str, Any]) -> dict[str, Any]:
    """Return one effect request as a JSON object. `members` are what `settings` returned."""
    if not isinstance(model, str):
        raise TypeError(f"model is the name of a model of the world file, not {model!r}")
    body: dict[str, Any] = {"effect": "generate", "model": model, **members}
    if isinstance(prompt, str):
        for name in ("system", "template", "tools"):
            if name in members:
                raise TypeError(f"{name} goes with a conversation (messages), not with a text that is taken as it is")
        body["prompt"] = prompt
    else:
        body["messages"] = _messages(prompt)
    return body


def answer(reply: Any) -> Answer:
    """Read one effect reply. Raises `EffectError` where it is an error."""
    if "ok" in reply:
        ok = reply["ok"]
        told = ok.get("logprobs")
        logprobs = None if told is None else tuple([_logprob(token) for token in told])
        calls = tuple([Call(call["tool"], call["args"]) for call in ok.get("calls", ())])
        text = ok.get("said", ok["text"])  # beside calls
        return Answer(text, ok["finish"], ok["tokens"], ok["prompt_tokens"], logprobs, ok.get("dropped", 0), calls)
    error = reply["error"]
    raise EffectError(error["kind"], error["message"])


def _messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    if not isinstance(messages, list | tuple):
        raise TypeError(f"messages is a list of {{'role': …, 'content': …}}, not {messages!r}")
    if not messages:
        raise ValueError("messages is empty: a conversation has at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not _NEEDED <= message.keys() <= _KNOWN:
            raise TypeError(f"messages[{index}] is {message!r}, not {{'role': …, 'content': …}}")
        for key in message.keys() - {"tool_calls"}:
            if not isinstance(message[key], str):
                raise TypeError(f"messages[{index}][{key!r}] is a string, not {message[key]!r}")
    return [{**message} for message in messages]


_NEEDED = frozenset({"role", "content"})
_KNOWN = frozenset(ChatMessage.__annotations__)


def _logprob(token: Mapping[str, Any]) -> TokenLogprob:
    top = tuple([Alternative(other["id"], other["text"], other["logprob"]) for other in token["top"]])
    return TokenLogprob(token["id"], token["text"], token["logprob"], top)


def _whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, not {value!r}")
    if value < low:
        raise ValueError(f"{name} is at least {low}, not {value}")
    if high is not None and value > high:
        raise ValueError(f"{name} is at most {high}, not {value}")
    return value


def _number(name: str, value: Any, low: float, high: float | None = None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is a number, not {value!r}")
    number = float(value)
    if high is None and not low <= number < float("inf"):
        raise ValueError(f"{name} is a number of at least {low:g}, not {value!r}")
    if high is not None and not low <= number <= high:
        raise ValueError(f"{name} is a number from {low:g} to {high:g}, not {value!r}")
    return number


def _top_p(name: str, value: Any) -> float:
    number = _number(name, value, 0.0)
    if not 0 < number <= 1:
        raise ValueError(f"top_p is a probability above 0 and at most 1, not {value!r}")
    return number


def _bias(name: str, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is a dict of numbers by token, not {value!r}")
    bias: dict[str, float] = {}
    for token, number in value.items():
        if isinstance(token, bool) or not isinstance(token, int | str):
            raise TypeError(f"{name} names tokens by id or text, not {token!r}")
        bias[str(token)] = _number(f"{name}[{token!r}]", number, -100.0, 100.0)
    return bias


def _stops(name: str, value: Any) -> list[str]:
    stops = [value] if isinstance(value, str) else list(value)
    for text in stops:
        if not isinstance(text, str):
            raise TypeError(f"{name} holds strings, not {text!r}")
        if not text:
            raise ValueError("an empty stop string would stop everything; leave it out")
    return stops


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is a dict, not {value!r}")
    return dict(value)


def _tools(name: str, value: Any) -> list[dict[str, Any]]:
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"{name} is a list of tools, not {value!r}")
    tools = [tool_of(one) for one in value]
    for index, tool in enumerate(tools):
        if any(other.name == tool.name for other in tools[:index]):
            raise ValueError(f"two of the tools are called {tool.name!r}")
    return [tool.told() for tool in tools]


def _choice(name: str, value: Any) -> str | dict[str, Any]:
    if isinstance(value, Mapping):
        return {**value}
    if value not in ("auto", "required", "none"):
        raise ValueError(f"{name} is 'auto', 'required', 'none' or a dict of mode and tools, not {value!r}")
    return str(value)


def _nonempty(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is a text, not {value!r}")
    if not value:
        raise ValueError(f"{name} is empty; leave it out")
    return value


def _on_full(name: str, value: Any) -> str:
    if value not in ("error", "drop_oldest"):
        raise ValueError(f"{name} is 'error' or 'drop_oldest', not {value!r}")
    return str(value)


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "tokens_max": lambda name, value: _whole(name, value, 1),
    "top_k": lambda name, value: _whole(name, value, 1),
    "top_p": _top_p,
    "min_p": lambda name, value: _number(name, value, 0.0, 1.0),
    "repetition_penalty": lambda name, value: _number(name, value, 0.1, 10.0),
    "presence_penalty": lambda name, value: _number(name, value, -100.0, 100.0),
    "logit_bias": _bias,
    "stop": _stops,
    "logprobs": lambda name, value: _whole(name, value, 0, 20),
    "json_schema": _object,
    "regex": _nonempty,
    "lark": _nonempty,
    "tools": _tools,
    "tool_choice": _choice,
    "calls_max": lambda name, value: _whole(name, value, 1, 64),
    "template": _object,
    "system": _nonempty,
    "on_full": _on_full,
}
