"""An event loop without a clock: time passes when nothing is left to do before the next timer.

asyncio promises that what is called soon runs in the order of the calls, and this loop keeps that. It promises nothing
of timers that are due in the same moment: their order is drawn.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from heapq import heappop, heappush
from random import Random
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CALLBACKS_MAX: Final = 5_000_000
"""Callbacks after which a simulation counts as one that never ends."""

ABANDON_S_MAX: Final = 60.0


class Stalled(Exception):
    """A simulation in which nothing is left that could happen, and what is waited for has not."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """A deterministic event loop for one thread. `chance` draws the order of timers that are due at once."""

    def __init__(self, chance: Random, start_s: float = 0.0) -> None:
        self._chance = chance
        self._now_s = start_s
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, float, int, asyncio.TimerHandle]] = []
        self._called = 0
        self._numbered = 0
        self._closed = False
        self._running = False
        self.errors: list[BaseException] = []
        """Errors that nobody has taken."""

    # -- time --------------------------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now_s

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._numbered += 1
        heappush(self._timers, (when, self._chance.random(), self._numbered, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Called by a timer that is cancelled; it is passed over when its time comes."""

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end. Raises `Stalled` if it waits for what never comes."""
        task = self.create_task(coroutine)
        before = events._get_running_loop()
        events._set_running_loop(self)
        self._running = True
        try:
            while not task.done():
                self._once()
        finally:
            self._running = False
            events._set_running_loop(before)
        result: T = task.result()
        return result

    def _once(self) -> None:
        """Run what is ready; if nothing is, let time pass until the next timer."""
        if not self._ready:
            while self._timers and self._timers[0][3].cancelled():
                heappop(self._timers)
            if not self._timers:
                raise Stalled(f"after {self._now_s:g} s of virtual time nothing is left that could happen")
            self._now_s = max(self._now_s, self._timers[0][0])
            while self._timers and self._timers[0][0] <= self._now_s:
                timer = heappop(self._timers)[3]
                if not timer.cancelled():
                    self._ready.append(timer)
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle.cancelled():
                self._called += 1
                if self._called > CALLBACKS_MAX:
                    raise Stalled(f"no end after {CALLBACKS_MAX:,} callbacks and {self._now_s:g} s of virtual time")
                handle._run()

    def abandon(self) -> None:
        """End all tasks of a loop that has stalled, as far as they let themselves be ended."""

        async def end(tasks: set[asyncio.Task[Any]]) -> None:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=ABANDON_S_MAX)

        self._called = 0
        if left := asyncio.all_tasks(self):
            self.run(end(left))

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    # -- what tasks and futures ask of a loop ------------------------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, **options)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        if executor is None:
            raise RuntimeError("a simulated run has no threads but those that its edges make")
        return asyncio.wrap_future(executor.submit(func, *args), loop=self)

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.errors.append(error if isinstance(error, BaseException) else RuntimeError(context.get("message")))
