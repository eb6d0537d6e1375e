"""Requests of a server to models (sampling), as a run asks them, and answers as the server gets them.

Only text goes either way. The request has what the server writes and nothing else: no system prompt of an agent, no
context of the run, no tools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mcp import types

from turnwise.tools.kinds.mcp.elicitation import KEY_CHARS_MAX
from turnwise.tools.server import ToolSample

HINTS_MAX: Final = 16
"""Hints at models of one request."""

HINT_CHARS_MAX: Final = 128
"""Characters of a hint."""

MESSAGES_MAX: Final = 1_024
"""Messages of one request."""

TEXT_CHARS_MAX: Final = 256 * 1024
"""Characters of one request, all its messages together."""

_STOP_REASONS: Final = {"end": "endTurn", "stop": "stopSequence", "length": "maxTokens"}
"""The protocol's words for how an answer ended."""


class SamplingError(Exception):
    """A request that no model is asked, or an answer that is none; the text says why."""


def sample_of(key: str, params: types.CreateMessageRequestParams) -> ToolSample:
    """Return a server's request as models are asked it. Raises `SamplingError`."""
    if len(key) > KEY_CHARS_MAX:
        raise SamplingError(f"a request's name has {len(key):,} characters, and at most {KEY_CHARS_MAX} are taken")
    if params.tools or params.tool_choice is not None:
        raise SamplingError("a model is not asked with tools, which were not offered")
    if params.include_context not in (None, "none"):
        raise SamplingError("a model is told nothing of the run: there is no context to include")
    if not 0 < len(params.messages) <= MESSAGES_MAX:
        raise SamplingError(f"a model is asked with 1 to {MESSAGES_MAX:,} messages, not {len(params.messages):,}")
    request: dict[str, Any] = {
        "messages": [{"role": message.role, "content": _text(message)} for message in params.messages],
        "tokens_max": max(1, params.max_tokens),
    }
    if params.system_prompt is not None:
        request["system"] = params.system_prompt
    if params.temperature is not None:
        request["temperature"] = params.temperature
    if params.stop_sequences:
        request["stop"] = [*params.stop_sequences]
    texts = [message["content"] for message in request["messages"]] + [params.system_prompt or ""]
    chars = sum(map(len, [*texts, *request.get("stop", ())]))
    if chars > TEXT_CHARS_MAX:
        raise SamplingError(f"a model is asked with at most {TEXT_CHARS_MAX:,} characters, not {chars:,}")
    return ToolSample(key, request, tuple(_hints(params.model_preferences)))


def result_of(answers: Mapping[str, Any], key: str) -> types.CreateMessageResult:
    """Return what the server is told, of all answers that there are. Raises `SamplingError` where it is no text."""
    answer = answers.get(key)
    if not isinstance(answer, Mapping):
        raise SamplingError("no model has answered")
    error, ok = answer.get("error"), answer.get("ok")
    if isinstance(error, Mapping):
        raise SamplingError(f"the model has not answered: {error.get('kind')}: {error.get('message')}")
    if not isinstance(ok, Mapping) or not isinstance(ok.get("text"), str):
        raise SamplingError("the model's answer is no text")
    return types.CreateMessageResult(
        role="assistant",
        content=types.TextContent(type="text", text=ok["text"]),
        model=str(answer.get("model")),
        stop_reason=_STOP_REASONS.get(str(ok.get("finish"))),
    )


def _text(message: types.SamplingMessage) -> str:
    texts = []
    for block in message.content_as_list:
        if not isinstance(block, types.TextContent):
            raise SamplingError(f"a model is asked with texts, and a message has content of the type {block.type}")
        texts.append(block.text)
    return "\n".join(texts)


def _hints(preferences: types.ModelPreferences | None) -> Iterator[str]:
    hints = [] if preferences is None else preferences.hints or []
    for hint in hints[:HINTS_MAX]:
        if hint.name:
            yield hint.name[:HINT_CHARS_MAX]
