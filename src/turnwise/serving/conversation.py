"""A conversation with one model, for a caller without an event loop: the terminal."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Generator, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from turnwise.errors import TurnwiseError, UsageError
from turnwise.inference.host.host import InferenceHost
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateRequest
from turnwise.orchestrator.loop_thread import LoopThread
from turnwise.serving.api_error import ApiError
from turnwise.serving.dispatcher import Dispatcher
from turnwise.serving.sampling import stream_key

WAIT_S: Final = 0.5
"""Interval at which a caller that waits looks up, so that Ctrl-C reaches it on every system."""


class Conversation:
    """A conversation, and the model that goes on with it. A context manager; entering it loads the model.

    - `system`: what the model is told first; None for what its template says
    - `messages`: what was said since the beginning
    - `dropped`: messages that did not fit into the model's context when it last answered
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.system: str | None = None
        self.messages: list[dict[str, str]] = []
        self.dropped = 0
        self._spec = spec
        self._dispatcher = Dispatcher(open_max=1)
        self._thread = LoopThread("turnwise-chat")
        self._stack = AsyncExitStack()

    @property
    def model(self) -> ModelInfo:
        """The model, once it is loaded."""
        return self._dispatcher.models[self._spec.name]

    def say(self, text: str, *, seed: int, options: Mapping[str, Any]) -> Generator[str, None, None]:
        """Say something; yields the answer as it comes. What is not read to its end is remembered as far as it came.

        `options` are members of a generate request. Raises UsageError for what the model does not take.
        """
        asked = {"role": "user", "content": text}
        told = [] if self.system is None else [{"role": "system", "content": self.system}]
        body = {"messages": [*told, *self.messages, asked], "tokens_max": "rest", "on_full": "drop_oldest", **options}
        request = msgspec.json.encode(body).decode()
        answer: list[str] = []
        news: queue.Queue[str | int | TurnwiseError | None] = queue.Queue()
        running = self._thread.submit(self._ask(request, seed, news))
        try:
            while (event := _next(news)) is not None:
                if isinstance(event, TurnwiseError):
                    raise event
                if isinstance(event, int):
                    self.dropped = event
                    continue
                answer.append(event)
                yield event
        finally:
            if not running.done():
                self._thread.cancel_all()
                with contextlib.suppress(TurnwiseError):
                    running.result()
            if answer:
                self.messages += [asked, {"role": "assistant", "content": "".join(answer)}]

    async def _ask(self, body: str, seed: int, news: queue.Queue[str | int | TurnwiseError | None]) -> None:
        name, key = self._spec.name, stream_key(seed)
        chars = 0

        def make(number: int) -> GenerateRequest:
            return GenerateRequest(number, name, body, key, streamed=True)

        try:
            with self._dispatcher.ask([make]) as answers:
                async for _, event, _ in answers.events():
                    text = event if isinstance(event, str) else event["text"][chars:]
                    chars += len(text)
                    if text:
                        news.put(text)
                    if not isinstance(event, str):
                        news.put(int(event.get("dropped", 0)))
        except ApiError as error:
            hint = "Say something else, or begin anew: /reset." if error.status < 500 else None
            news.put(self._dispatcher.failure or UsageError(error.message, hint=hint))
        finally:
            news.put(None)

    async def _start(self) -> None:
        host = InferenceHost(
            [self._spec],
            on_replies=self._dispatcher.on_replies,
            on_failure=self._dispatcher.on_failure,
            on_wave=self._dispatcher.on_wave,
            on_pieces=self._dispatcher.on_pieces,
        )
        self._dispatcher.host = await self._stack.enter_async_context(host)

    def __enter__(self) -> Self:
        try:
            self._thread.submit(self._start()).result()
        except BaseException:
            self._thread.close(self._stack.aclose())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.close(self._stack.aclose())


def _next(news: queue.Queue[str | int | TurnwiseError | None]) -> str | int | TurnwiseError | None:
    while True:
        try:
            return news.get(timeout=WAIT_S)
        except queue.Empty:
            continue
