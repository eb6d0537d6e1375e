"""A loop for tool calls: a model is told of tools, its calls are made, and it is told what came of them, until it
answers.

Each step is an effect of its own, so a turn that is run again finds all that has been answered, and goes on where it
was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from turnwise_guest.generate import Answer, Call, ChatMessage
from turnwise_guest.jsontext import canonical, short
from turnwise_guest.model_tool import ModelTool

STEPS_MAX_DEFAULT = 8
TOKENS_MAX_DEFAULT = 512
RESULT_CHARS_MAX_DEFAULT = 8192

ActEnd = Literal["answer", "steps", "repeat", "length"]
"""Reason why a loop ended:

- ``answer``: the model answered by itself;
- ``steps``: it was asked for the last time, so it had to;
- ``repeat``: it wanted the calls of the step before once more, whose results it has, so it was asked for its answer;
- ``length``: `tokens_max` cut its answer off.
"""


class AskModel(Protocol):
    """The way to the model, which is told of the tools already."""

    def __call__(self, messages: Sequence[ChatMessage], choice: str) -> Answer:
        """Answer a conversation; `choice` says whether to call: ``"auto"``, ``"required"`` or ``"none"``."""


class CallTools(Protocol):
    """The way to tools of the world."""

    def __call__(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> Sequence[tuple[str, str | None]]:
        """Make calls at once; return the text of each result, and what kind of error it is, or None."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call, and what came of it.

    `args` are as the model gave them, None if they were no JSON object. `result` is what the model was told: text, or
    an error's. `error` is the kind of the error, None if there was none; that of a function is ``"raised"``.
    """

    tool: str
    args: dict[str, Any] | None
    result: str
    error: str | None = None

    def __repr__(self) -> str:
        told = f", error={self.error!r}" if self.error else ""
        return f"ToolCall({self.tool}, {self.args}, {short(self.result)}{told})"


@dataclass(frozen=True, slots=True)
class ActStep:
    """One step: what the model said beside its calls, which may be nothing, and the calls."""

    said: str
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Acted:
    """The end of a loop for tool calls.

    `answer` is what the model said last. `steps` are the calls that came before. `ended` says why it ended. `messages`
    are the whole conversation, its answer included: a JSON value that can be kept, and gone on with.
    """

    answer: str
    steps: tuple[ActStep, ...]
    ended: ActEnd
    messages: list[ChatMessage]

    def __str__(self) -> str:
        return self.answer

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """All calls, in order."""
        return tuple([call for step in self.steps for call in step.calls])


@dataclass(frozen=True, slots=True)
class ActLoop:
    """A loop with what it needs: the way to the model, the tools by name, and the way to those of the world.

    `begin` is whether to call in the first step: ``"required"`` has the model begin with a call.
    """

    ask: AskModel
    tools: Mapping[str, ModelTool]
    call: CallTools
    steps_max: int
    begin: str
    result_chars_max: int

    def run(self, messages: Sequence[ChatMessage]) -> Acted:
        """Ask, call and tell until the model answers. Lets errors of the model through."""
        conversation: list[ChatMessage] = list(messages)
        steps: list[ActStep] = []
        forced: ActEnd | None = None
        for number in range(1, self.steps_max + 1):
            if number == self.steps_max and steps:
                forced = forced or "steps"
            choice = "none" if forced or number == self.steps_max else self.begin if number == 1 else "auto"
            answer = self.ask(conversation, choice)
            asked = [] if choice == "none" else _whole(answer)
            if not asked:
                conversation.append({"role": "assistant", "content": answer.text})
                ended: ActEnd = "length" if answer.finish == "length" else forced or "answer"
                return Acted(answer.text, tuple(steps), ended, conversation)
            if steps and asked == [Call(call.tool, call.args) for call in steps[-1].calls]:
                forced = "repeat"
                continue
            step = ActStep(answer.text, self._make(asked))
            steps.append(step)
            conversation += _messages(step, len(conversation))
        raise ValueError(f"steps_max is at least 1, not {self.steps_max}")

    def _make(self, calls: Sequence[Call]) -> tuple[ToolCall, ...]:
        """Make calls: those of the world at once, then functions in order; results in the order of the calls."""
        tools = [self.tools.get(call.tool) for call in calls]
        outside = [
            (call.tool, call.args)
            for call, tool in zip(calls, tools, strict=True)
            if tool is not None and tool.function is None and call.args is not None
        ]
        results = iter(self.call(outside) if outside else ())
        made = []
        for call, tool in zip(calls, tools, strict=True):
            result: str
            error: str | None
            if tool is None:
                result, error = f"there is no tool {call.tool!r}", "unknown_tool"
            elif call.args is None:
                result, error = "the arguments are no JSON object that can be read", "invalid"
            elif tool.function is None:
                result, error = next(results)
            else:
                result, error = _called(tool.function, call.args)
            told = result if error is None else f"Error ({error}): {result}"
            made.append(ToolCall(call.tool, call.args, self._cut(told), error))
        return tuple(made)

    def _cut(self, text: str) -> str:
        more = len(text) - self.result_chars_max
        return text if more <= 0 else f"{text[: self.result_chars_max]}… ({more:,} more characters)"


def _whole(answer: Answer) -> list[Call]:
    """Return the calls of an answer, but for one that was cut off."""
    return [call for call in answer.calls if call.args is not None or answer.finish != "length"]


def _called(function: Callable[..., Any], args: Mapping[str, Any]) -> tuple[str, str | None]:
    """Call a function of the agent; its result as text, or what it raised."""
    try:
        result = function(**args)
        return (result if isinstance(result, str) else canonical(result, "the result")), None
    except Exception as error:
        return f"{type(error).__name__}: {error}", "raised"


def result_text(reply: Mapping[str, Any]) -> tuple[str, str | None]:
    """Read the reply to a call: its text, or that of its data where it has none; or an error's message and kind."""
    if "error" in reply:
        return reply["error"]["message"], reply["error"]["kind"]
    ok = reply["ok"]
    if ok["text"] or ok.get("data") is None:
        return ok["text"], None
    return canonical(ok["data"], "the result"), None


def _messages(step: ActStep, place: int) -> list[ChatMessage]:
    """Return a step as a conversation has it: what the model said and called, and a message for each result."""
    names = [f"call_{place}_{index}" for index in range(len(step.calls))]
    calls = [
        {"id": name, "type": "function", "function": {"name": call.tool, "arguments": call.args or {}}}
        for name, call in zip(names, step.calls, strict=True)
    ]
    said: ChatMessage = {"role": "assistant", "content": step.said, "tool_calls": calls}
    results: list[ChatMessage] = [
        {"role": "tool", "content": call.result, "tool_call_id": name, "name": call.tool}
        for name, call in zip(names, step.calls, strict=True)
    ]
    return [said, *results]
