"""The `generate` effect: requests to a language model, their check, and their replies.

A request is untrusted text. Whatever is wrong with it becomes an answer that the agent can catch (`Refusal`), never a
failure of the host. Replies are results that the run's head covers: their text depends on the request and the model
alone, so no path, time or machine appears in a message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from turnwise.core.canonical import canonical
from turnwise.core.plan import TIME_START_US_DEFAULT
from turnwise.inference.requests.fields import (
    Fields,
    check_chars,
    check_count,
    check_unicode,
    kind,
    real,
    refuse,
    shown,
    whole,
)
from turnwise.inference.requests.tools import ToolUse, check_calls, read_tools

Finish = Literal["stop", "length", "end"]
OnFull = Literal["error", "drop_oldest"]
TokensMax = int | Literal["rest"] | None
GrammarKind = Literal["json_schema", "regex", "lark"]

TOKENS_MAX_DEFAULT: Final = 128
TOKENS_MAX_MAX: Final = 1_048_576
PROMPT_CHARS_MAX: Final = 4 * 1024 * 1024
MESSAGES_COUNT_MAX: Final = 10_000
ROLE_CHARS_MAX: Final = 64
MORE_CHARS_MAX: Final = 1024 * 1024
STOP_COUNT_MAX: Final = 16
STOP_CHARS_MAX: Final = 256
TEMPERATURE_MAX: Final = 100.0
REPETITION_PENALTY_MIN: Final = 0.1
REPETITION_PENALTY_MAX: Final = 10.0
PRESENCE_PENALTY_MAX: Final = 100.0
LOGIT_BIAS_MAX: Final = 100.0
LOGIT_BIAS_COUNT_MAX: Final = 1_024
LOGIT_BIAS_KEY_CHARS_MAX: Final = 256
LOGPROBS_MAX: Final = 20
TEMPLATE_CHARS_MAX: Final = 65_536
TEMPLATE_NAME_CHARS_MAX: Final = 64
GRAMMAR_CHARS_MAX: Final[Mapping[GrammarKind, int]] = {"json_schema": 32_768, "regex": 2_048, "lark": 8_192}
"""Bound of a grammar's text: compiling costs more than in proportion to it, and holds up every other request.

The schemas in a Lark grammar (`%json {…}`) are not counted there, but together as one schema.
"""
STREAM_BYTES: Final = 32

_KEYS: Final = frozenset(
    {"effect", "model", "prompt", "messages", "tokens_max", "temperature", "top_k", "top_p", "min_p", "stop"}
    | {"repetition_penalty", "presence_penalty", "logit_bias", "logprobs", "json_schema", "regex", "lark"}
    | {"template", "system", "on_full", "tools", "tool_choice", "calls_max"}
)
_JSON: Final = json.JSONDecoder()
_MESSAGE_KEYS: Final = frozenset({"name", "tool_calls", "tool_call_id"})


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A request of one turn.

    - `id`: chosen by the orchestrator, unique among open requests; lower numbers are served first
    - `model`: the name of a model
    - `body`: the effect request's canonical JSON text
    - `stream`: 32 bytes that key its chance
    - `now_us`: the turn's virtual time (microseconds since 1970, UTC), which chat templates may write
    - `streamed`: whether its text is told in pieces, too, as it comes
    """

    id: int
    model: str
    body: str
    stream: bytes
    now_us: int = TIME_START_US_DEFAULT
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class GenerateReply:
    """The answer to a request, of any effect.

    - `id`: of the request
    - `body`: canonical JSON text of `{"ok": {…}}` or `{"error": {"kind", "message"}}`
    - `tokens`: ids of all tokens that a language model's answer is made of, its end token included; else None
    """

    id: int
    body: str
    tokens: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Text that was generated for a request, as soon as it is known. The pieces together begin the reply's text.

    - `id`: of the request
    - `number`: of the piece, from 0
    - `text`: not empty
    - `logprobs`: entries of the reply's `logprobs` since the piece before; empty where none were asked for
    """

    id: int
    number: int
    text: str
    logprobs: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class RunningText:
    """The end of a text that is being generated, as it is at a moment. For display only.

    - `id`: of the request
    - `tokens`: so far
    - `tail`: its last characters
    - `cut`: whether there are more before them
    """

    id: int
    tokens: int
    tail: str
    cut: bool


@dataclass(frozen=True, slots=True)
class Sampling:
    """Parameters of choosing a token.

    - `temperature`: 0 is greedy
    - `top_k`, `top_p`, `min_p`: None does nothing
    - `repetition_penalty`: 1 does nothing
    - `presence_penalty`: 0 does nothing
    - `bias`: numbers that are added to the logits of these token ids
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    bias: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message of a conversation.

    - `role`: what the model's chat template knows (`user`, `assistant`, `tool`, …)
    - `content`: its text, maybe empty
    - `more`: other members that the template may look for, such as `tool_calls`; JSON values
    """

    role: str
    content: str
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GrammarSource:
    """A grammar that an answer follows: `text` is canonical JSON for a JSON schema, else the expression itself."""

    kind: GrammarKind
    text: str


@dataclass(frozen=True, slots=True)
class Generation:
    """A checked request.

    - `prompt`: text; None where `messages` are given
    - `messages`: of a conversation, the request's `system` first; empty where a `prompt` is given
    - `tokens_max`: of the answer; None: `TOKENS_MAX_DEFAULT`, or what the context leaves room for if that is less;
      `rest`: all that the context leaves room for
    - `sampling`: parameters of choosing a token
    - `stop`: texts at which the answer ends
    - `logit_bias`: numbers by token, which is named by id or text
    - `logprobs`: number of alternatives that are told with each token; None: no log probabilities at all
    - `grammar`: that the answer follows; None for none
    - `template`: arguments of the chat template
    - `on_full`: what happens if the prompt is too long for the context
    - `tools`: that may be called; None if the request does not speak of any
    """

    prompt: str | None
    messages: tuple[ChatMessage, ...]
    tokens_max: TokensMax
    sampling: Sampling
    stop: tuple[str, ...]
    logit_bias: tuple[tuple[str, float], ...] = ()
    logprobs: int | None = None
    grammar: GrammarSource | None = None
    template: Mapping[str, Any] = field(default_factory=dict)
    on_full: OnFull = "error"
    tools: ToolUse | None = None


def ok_body(
    text: str,
    finish: Finish,
    tokens: int,
    prompt_tokens: int,
    *,
    logprobs: list[dict[str, Any]] | None = None,
    dropped: int | None = None,
    said: str | None = None,
    calls: Sequence[dict[str, Any]] | None = None,
) -> str:
    """Make the reply with generated text. `tokens` counts every sampled token, the end token included.

    `logprobs` and `dropped` are there only if they were asked for, `calls` only if there were tools. `said` is what the
    text says beside calls, where it has any.
    """
    ok: dict[str, Any] = {"text": text, "finish": finish, "tokens": tokens, "prompt_tokens": prompt_tokens}
    if logprobs is not None:
        ok["logprobs"] = logprobs
    if dropped is not None:
        ok["dropped"] = dropped
    if calls is not None:
        ok["calls"] = [*calls]
        if said is not None and said != text:
            ok["said"] = said
    return canonical({"ok": ok})


def parse(body: str) -> Generation:
    """Check a request. Raises Refusal naming the field, what is expected of it and what was given."""
    fields = Fields(body)
    fields.check_known(_KEYS, f"a generate request has model, {', '.join(sorted(_KEYS - {'effect', 'model'}))}")
    prompt, messages = _prompt(fields)
    tools = _tools(fields, prompt, messages)
    return Generation(
        prompt,
        messages,
        _tokens_max(fields),
        _sampling(fields),
        _stop(fields),
        _logit_bias(fields),
        fields.integer("logprobs", 0, LOGPROBS_MAX),
        _grammar(fields),
        _template(fields, prompt),
        _on_full(fields),
        tools,
    )


def _tools(fields: Fields, prompt: str | None, messages: Sequence[ChatMessage]) -> ToolUse | None:
    """Read what may be called, and check what messages say of calls."""
    use = read_tools(fields)
    if use is None:
        return None
    if prompt is not None:
        refuse("tools go with messages: a prompt is taken as it is")
    for name in ("regex", "lark"):
        if use.tools and fields.value(name) is not None:
            refuse(f"{name} and tools are given: an answer follows one grammar")
    template = fields.value("template")
    if isinstance(template, dict) and "tools" in template:
        refuse("tools are given, and so they are in template: one of them is too many")
    for index, message in enumerate(messages):
        check_calls(f"messages[{index}]", message.more)
    return use


def _tokens_max(fields: Fields) -> TokensMax:
    value = fields.value("tokens_max")
    if not fields.given("tokens_max") or value == "rest":
        return "rest" if value == "rest" else None
    return whole("tokens_max", value, 1, TOKENS_MAX_MAX)


def _prompt(fields: Fields) -> tuple[str | None, tuple[ChatMessage, ...]]:
    if (fields.value("prompt") is None) == (fields.value("messages") is None):
        refuse("exactly one of prompt (text) and messages (a list) must be given")
    system = fields.text("system", PROMPT_CHARS_MAX)
    prompt = fields.text("prompt", PROMPT_CHARS_MAX)
    if prompt is None:
        return None, _messages(fields, system)
    if system is not None:
        refuse("system goes with messages: put it into prompt, or give messages")
    return prompt, ()


def _messages(fields: Fields, system: str | None) -> tuple[ChatMessage, ...]:
    items = fields.items("messages", "at least one message", MESSAGES_COUNT_MAX)
    if not items:
        refuse("messages must be a list of at least one message, not an empty one")
    messages = [_message(f"messages[{index}]", item) for index, item in enumerate(items)]
    if system is not None:
        if any(message.role == "system" for message in messages):
            refuse("system is given, and messages hold a system message too: one of them is too many")
        messages.insert(0, ChatMessage("system", system))
    check_chars("messages", sum(len(message.content) for message in messages), PROMPT_CHARS_MAX)
    return tuple(messages)


def _message(where: str, item: object) -> ChatMessage:
    if not isinstance(item, dict) or not item.keys() >= {"role", "content"}:
        refuse(f"{where} must be an object with role and content")
    for key in ("role", "content"):
        text = item[key]
        if not isinstance(text, str):
            refuse(f"{where}.{key} must be text, not {kind(text)}")
        check_unicode(f"{where}.{key}", text)
    if not 0 < len(item["role"]) <= ROLE_CHARS_MAX:
        refuse(f"{where}.role must have 1 to {ROLE_CHARS_MAX} characters")
    return ChatMessage(item["role"], item["content"], _more(where, item))


def _more(where: str, item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Members of a message that only the chat template knows."""
    more = {name: value for name, value in item.items() if name not in ("role", "content")}
    unknown = min(more.keys() - _MESSAGE_KEYS, default=None)
    if unknown is not None:
        refuse(f"{where} has the unknown key {shown(unknown)}: {', '.join(sorted(_MESSAGE_KEYS))} may stand there")
    try:
        text = canonical(more)
    except (ValueError, RecursionError):
        refuse(f"{where} holds a number that is not finite, or is nested too deeply")
    check_chars(where, len(text), MORE_CHARS_MAX)
    check_unicode(where, text)
    return more


def _sampling(fields: Fields) -> Sampling:
    temperature = 0.0
    if fields.given("temperature"):
        expected = f"a number from 0 (greedy) to {TEMPERATURE_MAX:g}"
        temperature = real("temperature", fields.value("temperature"), 0.0, TEMPERATURE_MAX, expected)
    low, high = REPETITION_PENALTY_MIN, REPETITION_PENALTY_MAX
    repetition = fields.number("repetition_penalty", low, high, f"a number from {low:g} to {high:g} (1 does nothing)")
    limit = PRESENCE_PENALTY_MAX
    presence = fields.number("presence_penalty", -limit, limit, f"a number from {-limit:g} to {limit:g}")
    return Sampling(
        temperature,
        fields.integer("top_k", 1, TOKENS_MAX_MAX),
        fields.number("top_p", 0.0, 1.0, "a number above 0, at most 1", above=True),
        fields.number("min_p", 0.0, 1.0, "a number from 0 to 1"),
        1.0 if repetition is None else repetition,
        0.0 if presence is None else presence,
    )


def _stop(fields: Fields) -> tuple[str, ...]:
    items = fields.items("stop", "texts", STOP_COUNT_MAX)
    for index, item in enumerate(items):
        if not isinstance(item, str) or not 0 < len(item) <= STOP_CHARS_MAX:
            refuse(f"stop[{index}] must be text of 1 to {STOP_CHARS_MAX} characters")
        check_unicode(f"stop[{index}]", item)
    return tuple(items)


def _logit_bias(fields: Fields) -> tuple[tuple[str, float], ...]:
    value = fields.value("logit_bias")
    if value is None:
        return ()
    if not isinstance(value, dict):
        refuse(f"logit_bias must be an object of numbers by token, not {kind(value)}")
    check_count("logit_bias", len(value), LOGIT_BIAS_COUNT_MAX)
    expected = f"a number from {-LOGIT_BIAS_MAX:g} to {LOGIT_BIAS_MAX:g}"
    bias = []
    for token, number in sorted(value.items()):
        if not 0 < len(token) <= LOGIT_BIAS_KEY_CHARS_MAX:
            refuse(f"logit_bias has a token of {len(token)} characters, 1 to {LOGIT_BIAS_KEY_CHARS_MAX} are allowed")
        check_unicode("logit_bias", token)
        bias.append((token, real(f"logit_bias[{shown(token)}]", number, -LOGIT_BIAS_MAX, LOGIT_BIAS_MAX, expected)))
    return tuple(bias)


def _grammar(fields: Fields) -> GrammarSource | None:
    schema = fields.table("json_schema", GRAMMAR_CHARS_MAX["json_schema"])
    sources = [] if schema is None else [GrammarSource("json_schema", canonical(schema))]
    kinds: tuple[GrammarKind, ...] = ("regex", "lark")
    for name in kinds:
        schemas_max = GRAMMAR_CHARS_MAX["json_schema"] if name == "lark" else 0
        text = fields.text(name, GRAMMAR_CHARS_MAX[name] + schemas_max)
        if text is not None:
            schemas = _schemas_chars(text) if name == "lark" else 0
            check_chars(name, len(text) - schemas, GRAMMAR_CHARS_MAX[name])
            check_chars(f"the schemas of {name}", schemas, schemas_max)
            sources.append(GrammarSource(name, text))
    if len(sources) > 1:
        refuse(f"{' and '.join(source.kind for source in sources)} are given: an answer follows one grammar")
    return sources[0] if sources else None


def _schemas_chars(text: str) -> int:
    """Count the characters of the JSON schemas in a Lark grammar."""
    count, at = 0, text.find("%json")
    while at >= 0:
        begin = at + len("%json")
        begin += len(text[begin:]) - len(text[begin:].lstrip())
        try:
            _, end = _JSON.raw_decode(text, begin)
        except (ValueError, RecursionError):
            end = begin  # no schema: compiling will say so
        count += end - begin
        at = text.find("%json", end)
    return count


def _template(fields: Fields, prompt: str | None) -> Mapping[str, Any]:
    arguments = fields.table("template", TEMPLATE_CHARS_MAX)
    if arguments is None:
        return {}
    if prompt is not None:
        refuse("template goes with messages: a prompt is taken as it is")
    for name in arguments:
        if not (name.isascii() and name.isidentifier() and len(name) <= TEMPLATE_NAME_CHARS_MAX):
            refuse(f"template has the argument {shown(name)}, which is no name that a template can know")
    return arguments


def _on_full(fields: Fields) -> OnFull:
    value = fields.value("on_full")
    if value is None or value == "error":
        return "error"
    if value != "drop_oldest":
        refuse(f'on_full must be "error" or "drop_oldest", not {shown(value)}')
    return "drop_oldest"
