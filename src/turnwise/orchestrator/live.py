"""A run that is under way, for people who embed it.

The event loop lives in a thread of its own, so that a run can be driven from a script, a notebook or another event loop
alike. All methods are thread-safe. What goes wrong is raised by the method that waits for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from turnwise.core.records import RoundRecord
from turnwise.errors import UsageError
from turnwise.journal.run import Run
from turnwise.orchestrator.logs import Logged, Logs
from turnwise.orchestrator.progress import Progress, Status
from turnwise.orchestrator.session import Session

T = TypeVar("T")

Begin = Callable[[Status], Coroutine[Any, Any, Session]]


class Live:
    """A live run. A context manager: leaving it closes the journal, and what has been committed can be resumed."""

    def __init__(self, journal: Path, begin: Begin) -> None:
        self.journal = journal
        self._status = Status()
        self._logs = Logs()
        self._session: Session | None = None
        self._stopping = False
        self._closed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="turnwise", daemon=True)
        self._thread.start()
        self._begun = self._call(self._begin(begin))
        self._played: Future[None] | None = None

    @property
    def notices(self) -> list[str]:
        """What a person should know, a line each: a provider's fallback, for example."""
        return list(self._status.notices)

    # -- playing -----------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Play to the end in the background. Returns at once."""
        if self._played is None or (self._played.done() and not self._stopping):
            self._played = self._call(self._play())

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for `play`. True when it has come to its end, was stopped, or failed."""
        if self._played is None:
            return False
        return bool(wait_for([self._played], timeout_s).done)

    def step(self) -> RoundRecord | None:
        """Play one round, until it is durable. None: nobody has anything to do, or the run is over."""
        return self._call(self._step()).result()

    def send(self, to: str, body: str) -> None:
        """A message from outside to an agent or a group; it is read in the round that begins next."""
        self._call(self._send(to, body)).result()

    def result(self) -> Run:
        """Play to the end, close, and open what came of it. Raises what went wrong (`TurnwiseError`)."""
        try:
            self.play()
            assert self._played is not None
            self._played.result()
        finally:
            self.close()
        return Run.open(self.journal)

    # -- stopping ----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop when the round in progress has been committed. The run can be resumed."""
        self._stopping = True
        if self._status.phase != "ended":
            self._status.phase = "stopping"

    def abort(self) -> None:
        """Stop at once. The round in progress is lost; all that was committed stays, and the run can be resumed."""
        self._stopping = True
        for future in (self._played, self._begun):
            if future is not None:
                future.cancel()

    def close(self) -> None:
        """Give up everything that the run holds. Twice does no harm."""
        if self._closed:
            return
        self._closed = True
        self.abort()
        self._call(self._end()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- display -----------------------------------------------------------------------------------------------

    def progress(self) -> Progress:
        """What the run is doing now."""
        session = self._session
        if session is None:
            return Progress(self._status.phase, self._status.doing, 0, 0, 0, 0, 0, 0, 0, ())
        return session.progress(self._status)

    def logs(self) -> tuple[list[Logged], int]:
        """What agents have logged since the last call, in order, and how many logs before those were not kept.

        A thousand are kept at most; all are in the journal. A round's logs may be here just before it is durable.
        """
        return self._logs.take()

    # -- in the event loop -------------------------------------------------------------------------------------

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(self._tracked(coroutine), self._loop)

    async def _tracked(self, coroutine: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await coroutine
        finally:
            self._tasks.discard(task)

    async def _begin(self, begin: Begin) -> Session:
        self._session = await begin(self._status)
        if self._status.phase == "starting":
            self._status.phase = "playing"
        return self._session

    async def _ready(self) -> Session:
        try:
            return await asyncio.wrap_future(self._begun)
        except CancelledError:
            raise UsageError("the run has been closed", hint="Use turnwise.resume() to go on with it.") from None

    async def _play(self) -> None:
        session = await self._ready()
        while not self._stopping and session.end is None:
            await self._round(session)
        await session.settle()
        self._status.phase = "ended"

    async def _round(self, session: Session) -> RoundRecord | None:
        record = await session.round()
        if record is not None:
            self._logs.note(record, session.name)
        return record

    async def _step(self) -> RoundRecord | None:
        session = await self._ready()
        if session.end is not None or not session.due:
            return None
        record = await self._round(session)
        await session.settle()
        return record

    async def _send(self, to: str, body: str) -> None:
        (await self._ready()).send(to, body)

    async def _end(self) -> None:
        others = self._tasks - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
