"""An event loop in a thread of its own.

Everything that needs an event loop runs in one of these, so that it works in a script, in a notebook and inside
another event loop alike.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from turnwise.errors import RunClosed

T = TypeVar("T")


class LoopThread:
    """A thread that runs coroutines. A context manager: leaving it cancels what still runs, and waits for that."""

    def __init__(self, name: str = "turnwise") -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine in the thread. Thread-safe.

        The future cannot be cancelled; it fails with `RunClosed` when the coroutine was. After `close` this is raised.
        """
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if not self._closed:
                self._loop.call_soon_threadsafe(self._start, coroutine, future)
                return future
        coroutine.close()
        raise RunClosed

    def cancel_all(self) -> None:
        """Cancel what runs now, and do not wait for it. Thread-safe."""
        with self._lock:
            if not self._closed:
                self._loop.call_soon_threadsafe(self._cancel)

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Cancel what runs, wait for it, run `last`, and end the thread. Twice is harmless, also at the same time."""
        with self._lock:
            first, self._closed = not self._closed, True
        if not first:
            if last is not None:
                last.close()
            self._thread.join()
            return
        try:
            asyncio.run_coroutine_threadsafe(self._end(last), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, coroutine: Coroutine[Any, Any, T], future: Future[T]) -> None:
        task = self._loop.create_task(_told(coroutine, future))
        self._tasks.add(task)
        task.add_done_callback(partial(self._finish, coroutine, future))

    def _finish(self, coroutine: Coroutine[Any, Any, T], future: Future[T], task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if future.done():
            return
        if task.cancelled():
            coroutine.close()  # it may not have begun
            future.set_exception(RunClosed())
        elif (error := task.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(task.result())

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _end(self, last: Coroutine[Any, Any, None] | None) -> None:
        try:
            self._cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            if last is not None:
                await last
            await self._loop.shutdown_asyncgens()
            await self._loop.shutdown_default_executor()


async def _told(coroutine: Coroutine[Any, Any, T], future: Future[T]) -> T:
    """Tell of a result at once, where the task's own end is told by the loop's next turn."""
    result = await coroutine
    future.set_result(result)
    return result


def run_alone(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a thread of its own, also where an event loop runs in this one.

    An interruption of the waiting thread cancels the coroutine, and is raised when that has ended.
    """
    with LoopThread() as thread:
        return thread.submit(coroutine).result()
