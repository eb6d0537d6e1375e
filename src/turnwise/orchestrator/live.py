"""A run that is under way, for people who embed it.

The event loop lives in a thread of its own, so that a run can be driven from a script, a notebook or another event loop
alike. All methods are thread-safe. What goes wrong is raised by the method that waits for it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from turnwise.core.question import AskedQuestion
from turnwise.core.records import RoundRecord
from turnwise.errors import RunClosed
from turnwise.journal.run import Run
from turnwise.orchestrator.logs import Logged, Logs
from turnwise.orchestrator.loop_thread import LoopThread
from turnwise.orchestrator.no_round import NoRound
from turnwise.orchestrator.progress import Progress, Status
from turnwise.orchestrator.session import Session

T = TypeVar("T")

LOOK_S = 0.2
"""Seconds between two looks for answers of other processes, while a run waits for one."""

Begin = Callable[[Status], Coroutine[Any, Any, Session]]


class Live:
    """A live run. A context manager: leaving it closes the journal, and what has been committed can be resumed.

    ::

        with world.start() as live:
            for record in live:        # round after round, while somebody has something to do
                ...
            live.send("echo", "hello")
            live.step()

    `astep`, `asend`, `aresult`, `aclose`, `async for` and `async with` are the same for coroutines; cancelling one of
    them stops the waiting alone. After `close` or `abort` every method that would do something raises `RunClosed`.
    """

    def __init__(
        self,
        journal: Path,
        begin: Begin,
        parents: Sequence[Path] = (),
        patience_s: float | None = 0.0,
        *,
        serve: bool = False,
    ) -> None:
        """`parents` are the places in which to look for what a fork goes on from, when its journal is read.

        `patience_s` is how long `play` waits for an answer before the round in which its deadline passes; None: for as
        long as it takes. For a question without a deadline it always does. With `serve`, `play` waits for messages
        when nobody has anything left to do, instead of ending the run.
        """
        self.journal = journal
        self.patience_s = patience_s
        self.serve = serve
        self.parents = tuple(parents)
        self._status = Status()
        self._logs = Logs()
        self._session: Session | None = None
        self._stopping = False
        self._aborted = False
        self._thread = LoopThread()
        self._playing = asyncio.Lock()
        self._begun = self._thread.submit(self._begin(begin))
        self._played: Future[None] | None = None
        self._held_since_s: float | None = None
        self._quiet = threading.Event()

    @property
    def notices(self) -> list[str]:
        """Lines that a person should read: a provider's fallback, for example."""
        return list(self._status.notices)

    # -- playing -----------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Play to the end in the background. Returns at once."""
        if self._played is None or (self._played.done() and not self._stopping):
            self._played = self._call(self._play())

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for `play`. True when it has come to its end, was stopped, or failed."""
        if self._played is None:
            return False
        return bool(wait_for([self._played], timeout_s).done)

    def wait_quiet(self, timeout_s: float | None = None) -> bool:
        """Wait until nobody has anything left to do, of a run that serves and is played; all is on disk then.

        False when the time is over, or the run has come to its end or was stopped. What was sent by this object before
        has been read then; what other processes send may be on its way.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._quiet.is_set():
            left_s = LOOK_S if deadline_s is None else min(LOOK_S, deadline_s - time.monotonic())
            if self.wait(0) or self._played is None or left_s <= 0:
                return self._quiet.is_set()
            self._quiet.wait(left_s)
        return True

    def step(self) -> RoundRecord | NoRound:
        """Play one round, until it is durable; or say why there is none: `NoRound.WAITING`, or `NoRound.OVER`."""
        return self._call(self._step()).result()

    async def astep(self) -> RoundRecord | NoRound:
        """Do what `step` does, in an event loop."""
        return await asyncio.wrap_future(self._call(self._step()))

    def __iter__(self) -> Iterator[RoundRecord]:
        """Play round after round, until nobody has anything to do or the run is over."""
        while isinstance(record := self.step(), RoundRecord):
            yield record

    async def __aiter__(self) -> AsyncIterator[RoundRecord]:
        while isinstance(record := await self.astep(), RoundRecord):
            yield record

    def send(self, to: str, body: str) -> None:
        """Send a message from outside to an agent or a group; it is read in the round that begins next.

        It is kept with that round: a run that is stopped or closed before has no trace of it. If the round in progress
        ends the run, the message is a dead letter of that round. Raises `UsageError` at once for what cannot be a
        message, for nobody, and when the run has ended.
        """
        self._call(self._send(to, body)).result()

    async def asend(self, to: str, body: str) -> None:
        """Do what `send` does, in an event loop."""
        await asyncio.wrap_future(self._call(self._send(to, body)))

    def questions(self) -> list[AskedQuestion]:
        """Return the questions to people that can be answered now, in order of number."""
        return self._call(self._questions()).result()

    def answer(self, question: int, value: Any) -> bool:
        """Answer a question with a JSON value; the round that begins next begins with it.

        Return False if it has no effect, since the question was answered before or its deadline has passed. Raises
        `UsageError` for a number that no question has, and for a value that is no answer to it: it stays open then.
        """
        return self._call(self._answer(question, value)).result()

    async def aanswer(self, question: int, value: Any) -> bool:
        """Do what `answer` does, in an event loop."""
        return await asyncio.wrap_future(self._call(self._answer(question, value)))

    def result(self) -> Run:
        """Play to the end, close, and open the journal for reading. Raises what went wrong (`TurnwiseError`)."""
        try:
            self._all_played().result()
        finally:
            self.close()
        return Run.open(self.journal, parents=self.parents)

    async def aresult(self) -> Run:
        """Do what `result` does, in an event loop; a cancellation closes the run."""
        try:
            await asyncio.wrap_future(self._all_played())
        finally:
            await self.aclose()
        return Run.open(self.journal, parents=self.parents)

    def _all_played(self) -> Future[None]:
        self.play()
        if self._played is None:
            raise RunClosed
        return self._played

    # -- stopping ----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop when the round in progress has been committed; at once if none has begun. The run can be resumed."""
        self._stopping = True
        if self._session is None:
            self.abort()
        elif self._status.phase != "ended":
            self._status.phase = "stopping"

    def abort(self) -> None:
        """Stop at once. The round in progress is lost; all that was committed stays, and the run can be resumed."""
        self._stopping = self._aborted = True
        self._thread.cancel_all()

    def close(self) -> None:
        """Give up everything that the run holds. Twice does no harm."""
        self._stopping = self._aborted = True
        self._thread.close(self._end())

    async def aclose(self) -> None:
        """Do what `close` does, in an event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- display -----------------------------------------------------------------------------------------------------

    def progress(self) -> Progress:
        """Return a snapshot of what the run is doing."""
        session = self._session
        if session is None:
            return Progress(self._status.phase, self._status.doing, 0, 0, 0, 0, 0, 0, 0, ())
        return session.progress(self._status)

    def logs(self) -> tuple[list[Logged], int]:
        """Take the logs of agents since the last call, in order, and how many logs before those were not kept.

        A thousand are kept at most; all are in the journal. A round's logs may be here just before it is durable.
        """
        return self._logs.take()

    # -- in the event loop -------------------------------------------------------------------------------------------

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        if self._aborted:
            coroutine.close()
            raise RunClosed
        return self._thread.submit(coroutine)

    async def _begin(self, begin: Begin) -> Session:
        self._session = await begin(self._status)
        if self._status.phase == "starting":
            self._status.phase = "playing"
        return self._session

    async def _ready(self) -> Session:
        if self._session is not None:
            return self._session
        return await asyncio.wrap_future(self._begun)

    async def _play(self) -> None:
        session = await self._ready()
        while not self._stopping and session.end is None:
            async with self._playing:
                if not await self._holds(session):
                    await self._round(session)
        await session.settle()
        self._status.phase = "ended"

    async def _holds(self, session: Session) -> bool:
        """Wait a little if an answer or a message is to come first; True if there is to be no round yet."""
        session.take_outside()
        is_quiet = self.serve and session.quiet
        if not session.waits and not is_quiet:
            if not session.is_overdue_next:
                self._held_since_s = None
                return False
            now_s = asyncio.get_running_loop().time()
            self._held_since_s = now_s if self._held_since_s is None else self._held_since_s
            if self.patience_s is not None and now_s - self._held_since_s >= self.patience_s:
                self._held_since_s = None
                return False
        await session.rest()
        if is_quiet and session.quiet:  # nothing was sent meanwhile
            self._quiet.set()
        await session.wait_news(LOOK_S)
        return True

    async def _round(self, session: Session, *, durable: bool = False) -> RoundRecord | None:
        self._quiet.clear()
        record = await session.round(durable=durable)
        if record is not None:
            self._logs.note(record, session.name)
        return record

    async def _step(self) -> RoundRecord | NoRound:
        session = await self._ready()
        async with self._playing:  # one round after the other, whoever asks for them
            if session.over:
                return NoRound.OVER
            session.take_outside()
            if not session.due:
                return NoRound.WAITING
            record = await self._round(session, durable=True)
        await session.settle()
        return record or NoRound.OVER

    async def _send(self, to: str, body: str) -> None:
        (await self._ready()).send(to, body)
        self._quiet.clear()

    async def _questions(self) -> list[AskedQuestion]:
        return (await self._ready()).questions()

    async def _answer(self, question: int, value: Any) -> bool:
        return (await self._ready()).answer(question, value)

    async def _end(self) -> None:
        if self._session is not None:
            await self._session.close()
