"""The interface of a tool server: what each kind of it (`turnwise.tools.kinds`) does in the process that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from turnwise.tools.spec import ToolSpec


@dataclass(frozen=True, slots=True)
class ToolResult:
    """Result of a call."""

    text: str
    """Result as text. Content that is no text is named by its type and size."""
    data: Any = None
    """Structured content, a JSON value; None if the tool gives none."""
    is_error: bool = False
    """True if the tool says that it failed; `text` says why."""


@dataclass(frozen=True, slots=True)
class ToolQuestion:
    """One question of a server to people, asked in the middle of a call."""

    key: str
    """Name by which the server knows the answer."""
    text: str
    """Words of the question: untrusted text."""
    schema: Any = None
    """JSON schema that an answer follows; None: any text."""


@dataclass(frozen=True, slots=True)
class ToolQuestions:
    """A call that goes on when people have answered: it is made again, with the answers and this state."""

    questions: tuple[ToolQuestion, ...]
    """Questions, in order."""
    state: str = ""
    """Text of the server that it gets back as it is; what it means is nobody else's business."""


@dataclass(frozen=True, slots=True)
class ToolSample:
    """One request of a server to a model, made in the middle of a call."""

    key: str
    """Name by which the server knows the answer."""
    request: Mapping[str, Any]
    """Members of a request to generate: `messages`, and perhaps `system`, `tokens_max`, `temperature`, `stop`."""
    hints: tuple[str, ...] = ()
    """Parts of names of models that it would like, the best first."""


@dataclass(frozen=True, slots=True)
class ToolSamples:
    """A call that goes on when models have answered: it is made again, with the answers and this state."""

    samples: tuple[ToolSample, ...]
    """Requests, in order."""
    state: str = ""
    """Text of the server that it gets back as it is."""


@dataclass(frozen=True, slots=True)
class ToolAnswers:
    """Answers to the questions of a call, or to its requests to models."""

    by_key: Mapping[str, Any]
    """Answer by the key of what was asked, a JSON value; a question that nobody answers is not there.

    That of a model is `{"ok": {"text": …, "finish": …}, "model": name}`, or has an `error` in the place of `ok`."""
    state: str
    """State that came with the questions, or the requests, as it came."""


ToolOutcome = ToolResult | ToolQuestions | ToolSamples
"""All that may come of a call."""


class ToolUnavailableError(Exception):
    """A server that cannot be reached, or has not answered in time; says why."""


class ToolServer(Protocol):
    """A server of tools, driven by one event loop. All of it runs in a process that can be ended at any time.

    A kind is a module of `turnwise.tools.kinds` with two functions, importable without what it needs of others:
    `server(settings, folder)` makes the server (`settings`: the world's, secrets resolved; `folder`: the world's),
    and `check(settings)` yields key, message and hint of whatever is wrong with settings.
    """

    on_change: Callable[[], None]
    """Set before `start`: a server calls it when its list of tools has become another."""

    async def start(self) -> None:
        """Make it ready. Raises `ToolUnavailableError`."""

    async def tools(self) -> Sequence[ToolSpec]:
        """List its tools, in any order. Raises `ToolUnavailableError`."""

    async def call(self, name: str, args: Mapping[str, Any], answers: ToolAnswers | None = None) -> ToolOutcome:
        """Call a tool with arguments that follow its schema. Calls run at once; cancelling one cancels the call.

        `answers` are given when the call goes on after what it has asked. Raises `ToolUnavailableError`.
        """

    async def close(self) -> None:
        """Give up what it holds."""
