"""Calls at servers of the older era, which ask people or models in the middle of a call, and keep it open meanwhile.

The question goes out of the run with a token as its state; the answer comes with that token, and the call goes on. It
lives in this process alone: after the process, nobody can answer it any more.

A question that comes on the stream of a call belongs to that call (HTTP). Over stdio nothing says whose it is. Then it
is that of the only call which can have asked; where several can, it waits until all but one have ended. A question of
which that cannot be found out is refused: it is never put to the wrong people.
"""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from mcp import types
from mcp.client.session import ClientRequestContext

from turnwise.tools.kinds.mcp import elicitation, sampling
from turnwise.tools.kinds.mcp.elicitation import ElicitationError, question_of
from turnwise.tools.kinds.mcp.sampling import SamplingError, sample_of
from turnwise.tools.server import ToolQuestion, ToolQuestions, ToolSample, ToolSamples, ToolUnavailableError

OPEN_CALLS_MAX: Final = 256
"""Calls that wait for answers at once; one more ends the oldest of them."""

QUESTIONS_MAX: Final = 64
"""Questions of one call, one after the other."""

_KEY: Final = "answer"

_NOT_SAMPLED: Final = -1
"""The protocol's code for a request to a model that was turned down."""

OpenOutcome = types.CallToolResult | ToolQuestions | ToolSamples
"""All that a call may come to: its result, or what it waits for."""

CURRENT: contextvars.ContextVar[OpenCall | None] = contextvars.ContextVar("turnwise_mcp_call", default=None)
"""The call that this task works for."""


Result = TypeVar("Result", types.ElicitResult, types.CreateMessageResult)


@dataclass(slots=True)
class _Asked:
    """A question of a server to people, or a request to a model, that waits for its answer."""

    question: ToolQuestion | ToolSample
    """The question, or the request, as it leaves this process."""
    result: Callable[[Mapping[str, Any]], Any]
    """Makes of the answers what the server is told."""
    answer: asyncio.Future[Any]
    """The answer, once it is there."""


@dataclass(slots=True, eq=False)
class OpenCall:
    """A call from when it is made until it has a result."""

    token: str
    """Name by which it is found again."""
    task: asyncio.Task[types.CallToolResult] | None = None
    """Task that makes the call."""
    waiting: list[_Asked] = field(default_factory=list)
    """Questions that nobody was asked yet."""
    asked: _Asked | None = None
    """Question that people, or a model, have now."""
    questions: int = 0
    """Questions to people until now."""
    samples: int = 0
    """Requests to models until now."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is a question, or the call has ended."""
    progress: str = ""
    """Last words of the server about how far it is."""
    refused: str = ""
    """Reason why a request of it was last not answered with success."""


class OpenCalls:
    """All calls of a connection that have not ended. `samples_max` bounds the requests to models of one of them."""

    def __init__(self, samples_max: int = 0) -> None:
        self._samples_max = samples_max
        self._calls: dict[str, OpenCall] = {}
        self._unattributed: list[_Asked] = []

    async def make(self, work: Callable[[OpenCall], Coroutine[Any, Any, types.CallToolResult]]) -> OpenOutcome:
        """Make a call; return its result, or the questions that it waits for. Cancelling this cancels the call."""
        parked = [call for call in self._calls.values() if call.asked is not None]
        if len(parked) >= OPEN_CALLS_MAX and parked[0].task is not None:
            parked[0].task.cancel()
        call = OpenCall(secrets.token_hex(16))
        self._calls[call.token] = call

        async def run() -> types.CallToolResult:
            CURRENT.set(call)
            return await work(call)

        call.task = asyncio.create_task(run())
        call.task.add_done_callback(lambda _task: self._ended(call))
        return await self._next(call)

    async def go_on(self, token: str, answers: Mapping[str, Any]) -> OpenOutcome:
        """Go on with a call that has asked. Raises `ToolUnavailableError` if there is none any more."""
        call = self._calls.get(token)
        if call is None or call.asked is None:
            raise ToolUnavailableError("the call that asked is gone: the server has ended, or let go of it, since then")
        asked, call.asked = call.asked, None
        try:
            answer = asked.result(answers)
        except ElicitationError as error:
            answer = types.ErrorData(code=types.INVALID_PARAMS, message=str(error))
        except SamplingError as error:
            answer = types.ErrorData(code=_NOT_SAMPLED, message=str(error))
        if not asked.answer.done():
            asked.answer.set_result(answer)
        return await self._next(call)

    async def close(self) -> None:
        """Cancel all calls."""
        tasks = [call.task for call in self._calls.values() if call.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _next(self, call: OpenCall) -> OpenOutcome:
        """Wait for the result of a call, or its next question."""
        if call.task is None:
            raise RuntimeError("a call that nobody makes")
        try:
            while not call.task.done():
                if call.waiting:
                    call.asked = call.waiting.pop(0)
                    question = call.asked.question
                    if isinstance(question, ToolSample):
                        return ToolSamples((question,), call.token)
                    return ToolQuestions((question,), call.token)
                call.changed.clear()
                await call.changed.wait()
            return await call.task
        except asyncio.CancelledError:
            call.task.cancel()
            raise

    def _ended(self, call: OpenCall) -> None:
        self._calls.pop(call.token, None)
        call.changed.set()
        self._attribute()

    # -- questions -----------------------------------------------------------------------------------------------

    async def elicit(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        """Take a question of the server, and answer it when people have."""
        try:
            question = question_of(_KEY, params)
        except ElicitationError as error:
            return types.ErrorData(code=types.INVALID_PARAMS, message=str(error))
        return await self._answer(question, lambda answers: elicitation.result_of(params, answers, _KEY))

    async def sample(
        self, context: ClientRequestContext, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult | types.ErrorData:
        """Take a request of the server to a model, and answer it when the model has."""
        try:
            sample = sample_of(_KEY, params)
        except SamplingError as error:
            return types.ErrorData(code=types.INVALID_PARAMS, message=str(error))
        return await self._answer(sample, lambda answers: sampling.result_of(answers, _KEY))

    async def _answer(
        self, question: ToolQuestion | ToolSample, result: Callable[[Mapping[str, Any]], Result]
    ) -> Result | types.ErrorData:
        asked = _Asked(question, result, asyncio.get_running_loop().create_future())
        call = CURRENT.get()
        if call is not None:
            self._ask(call, asked)
        elif not self._calls:
            return types.ErrorData(code=types.INVALID_REQUEST, message="nobody is asked outside of a call")
        else:
            self._unattributed.append(asked)
            self._attribute()
        try:
            answer: Result | types.ErrorData = await asked.answer
            return answer
        finally:
            if asked in self._unattributed:
                self._unattributed.remove(asked)

    def _ask(self, call: OpenCall, asked: _Asked) -> None:
        if isinstance(asked.question, ToolSample):
            call.samples += 1
            if call.samples > self._samples_max:
                _refuse(asked, f"a call can ask models at most {self._samples_max} times (sampling.requests_max)")
                return
        else:
            call.questions += 1
            if call.questions > QUESTIONS_MAX:
                _refuse(asked, f"a call can ask at most {QUESTIONS_MAX} questions")
                return
        call.waiting.append(asked)
        call.changed.set()

    def _attribute(self) -> None:
        """Find out to which calls questions belong: a call that waits for an answer has not asked another."""
        callers = list(self._calls.values())
        if len(callers) > 1:
            callers = [call for call in callers if call.asked is None and not call.waiting]
        questions = [asked for asked in self._unattributed if not asked.answer.done()]
        if len(callers) == 1:
            self._unattributed.clear()
            for asked in questions:
                self._ask(callers[0], asked)
        elif len(questions) >= len(callers):
            self._unattributed.clear()
            for asked in questions:
                _refuse(asked, "several calls may have asked this: calls_at_once = 1 in the world makes it plain")


def _refuse(asked: _Asked, message: str) -> None:
    if not asked.answer.done():
        asked.answer.set_result(types.ErrorData(code=types.INVALID_REQUEST, message=message))
