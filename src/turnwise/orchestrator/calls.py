"""Calls of tools, from the request of a turn to the outcome that it goes on with.

A call is noted on disk before it is handed to its server, and its outcome before the turn is told (`Ahead`). One that
takes longer than `park_after_ms` is left by its turn; that is noted first, too, so that the turn parks with it again
if the round is taken anew. What a process that died has left is taken up: an outcome is used; a call that was made and
has none is made again if it is idempotent, and is `unknown` if not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final, Protocol

from turnwise.core.calling import call_of, tool_of
from turnwise.core.envelope import error_reply
from turnwise.core.events import Request
from turnwise.core.plan import Plan
from turnwise.core.tool_plan import ToolPlan, ToolServerPlan
from turnwise.errors import InvariantError, TurnwiseError
from turnwise.orchestrator.ahead import Ahead
from turnwise.orchestrator.crash_points import reached

CLOSE_S_MAX: Final = 2.0
"""Seconds in which calls may end that go on when a run is closed."""


class Caller(Protocol):
    """The driver, as the one that asks for calls."""

    @property
    def is_alone(self) -> bool:
        """True if nothing of the run could go on while one call is."""
        ...

    def may_leave(self, id_: int) -> bool: ...
    def on_call_left(self, id_: int) -> None: ...
    def on_call(self, id_: int, outcome: str) -> None: ...
    def on_failure(self, error: TurnwiseError) -> None: ...


class Desk(Protocol):
    """The keeper of servers, or what stands for them."""

    def slot(self, server: str) -> AbstractAsyncContextManager[object]: ...
    def parks(self, request: Request) -> bool | None:
        """Return whether a turn parks with a call; None: that is a matter of time."""

    async def call(self, server: str, tool: str, args: str, answers: str | None, request: Request) -> str:
        """Call a tool; return the outcome."""


class Calls:
    """The calls that are under way. `made` counts those that the run has made before, by server."""

    def __init__(
        self, desk: Desk, ahead: Ahead, caller: Caller, park_after_s: float, made: Mapping[str, int] | None = None
    ) -> None:
        self._desk = desk
        self._ahead = ahead
        self._caller = caller
        self._park_after_s = park_after_s
        self._made = dict(made or {})
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._leaving: dict[int, asyncio.Task[None]] = {}

    def submit(self, plan: Plan, requests: Sequence[tuple[int, Request]], *, is_left: bool = False) -> None:
        """Make calls, under numbers. `is_left`: turns are parked with them, and an earlier process has made them."""
        for id_, request in requests:
            task = asyncio.ensure_future(self._guarded(id_, request, plan, is_left))
            self._tasks[id_] = task

    async def _guarded(self, id_: int, request: Request, plan: Plan, is_left: bool) -> None:
        timer: asyncio.TimerHandle | None = None
        try:
            reached("call: asked")
            found = self._ahead.found(request)
            is_made = is_left if found is None else found.is_made
            parks = True if found is not None and found.is_parked else self._desk.parks(request)
            if parks and not is_left and self._caller.may_leave(id_):
                self._caller.on_call_left(id_)
                is_left = True
            if parks is None and not is_left and self._caller.may_leave(id_):
                loop = asyncio.get_running_loop()
                timer = loop.call_later(self._park_after_s, self._leave, id_, request)
            outcome = None if found is None else found.outcome
            if outcome is None:
                outcome = await self._outcome(request, plan, is_made)
                reached("call: outcome here")
                await self._ahead.note(request, outcome=outcome, is_alone=self._caller.is_alone)
                reached("call: outcome durable")
            if timer is not None:
                timer.cancel()
            if id_ in self._leaving:
                await self._leaving.pop(id_)
            self._caller.on_call(id_, outcome)
            reached("call: answered")
        except TurnwiseError as error:
            self._caller.on_failure(error)
        except Exception as error:
            self._caller.on_failure(InvariantError(f"a call failed: {type(error).__name__}: {error}"))
        finally:
            if timer is not None:
                timer.cancel()
            self._tasks.pop(id_, None)

    def _leave(self, id_: int, request: Request) -> None:
        self._leaving[id_] = asyncio.ensure_future(self._left(id_, request))

    async def _left(self, id_: int, request: Request) -> None:
        """Have the turn of a call wait for it no longer."""
        try:
            reached("call: parking")
            await self._ahead.note(request, is_parked=True)
            reached("call: park durable")
            self._caller.on_call_left(id_)
            reached("call: parked")
        except TurnwiseError as error:
            self._caller.on_failure(error)

    async def _outcome(self, request: Request, plan: Plan, is_made: bool) -> str:
        """Make a call, unless it was made before and may not be made again."""
        found = tool_of(plan, request.request.body)
        if found is None:
            return error_reply("unknown_tool", "the tool is not there any more")
        server, tool = found
        if is_made and not tool.idempotent:
            return error_reply("unknown", "the run was interrupted during the call: nobody knows what became of it")
        async with self._desk.slot(server.name):
            return await self._call(request, server, tool, is_made)

    async def _call(self, request: Request, server: ToolServerPlan, tool: ToolPlan, is_made: bool) -> str:
        if not is_made:
            made = self._made.get(server.name, 0)
            if request.stage == 0:  # one that goes on is the same call
                if made >= server.calls_max:
                    message = f"the run has made {made:,} calls of {server.name} (calls_max of tools.{server.name})"
                    return error_reply("refused", message)
                self._made[server.name] = made + 1
            await self._ahead.note(request, is_made=True, is_alone=self._caller.is_alone)
            reached("call: intent durable")
        args = call_of(request.request.body).args
        return await self._desk.call(server.name, tool.name, args, request.answers, request)

    async def close(self) -> None:
        """Wait a little for calls that go on, and give up the others. Twice does no harm."""
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S_MAX)
        for task in (*self._tasks.values(), *self._leaving.values()):
            task.cancel()
        for task in (*tasks, *self._leaving.values()):
            with suppress(asyncio.CancelledError):
                await task
