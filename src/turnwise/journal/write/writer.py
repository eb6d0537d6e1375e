"""Commits for an asyncio loop: the disk is waited for on a thread of its own.

The rows of a round are made in the loop's thread, SQLite is driven on the writer's. Commits keep the order in which
they were asked for. The loop may be ahead by a bounded number of rounds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Executor, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.snapshot import Snapshot
from turnwise.journal.file.box_position import BoxPosition
from turnwise.journal.file.times import RoundTimes
from turnwise.journal.write.rounds import RoundWriter

IN_FLIGHT_MAX: Final = 4
"""Rounds that may be handed over and not yet on disk."""


class JournalWriter:
    """Commits by the writer of an open journal, which stays the caller's to close. An async context manager.

    Belongs to one event loop; several tasks may commit at once. After a failure every later call raises it again, since
    a round that follows a lost one must not be written. `thread` does one thing after the other, in order, and is shut
    down with the writer; None: a thread of its own.
    """

    def __init__(
        self, rounds: RoundWriter, *, in_flight_max: int = IN_FLIGHT_MAX, thread: Executor | None = None
    ) -> None:
        self._rounds = rounds
        self._in_flight_max = in_flight_max
        self._thread = thread or ThreadPoolExecutor(1, thread_name_prefix="turnwise-journal")
        self._in_flight: deque[asyncio.Future[None]] = deque()
        self._turnstile = asyncio.Lock()
        self._failure: BaseException | None = None
        self._written = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def submit(
        self,
        record: RoundRecord,
        end: EndRecord | None = None,
        times: RoundTimes | None = None,
        snapshot: Snapshot | None = None,
        received: BoxPosition | None = None,
    ) -> asyncio.Future[None]:
        """Hand over a round, with the end if it brought one about, and wait while too many are in flight.

        The future is done when the round is on disk.
        """
        async with self._turnstile:  # first come, first served
            while len(self._in_flight) >= self._in_flight_max:
                await asyncio.wait([self._in_flight[0]])
                self._collect()
            self._collect()
            self._raise_failure()
            batch = self._rounds.encode(record, end, times, snapshot, received)
            future = asyncio.get_running_loop().run_in_executor(self._thread, self._rounds.write, batch)
            self._in_flight.append(future)
            return future

    async def commit(
        self,
        record: RoundRecord,
        end: EndRecord | None = None,
        times: RoundTimes | None = None,
        snapshot: Snapshot | None = None,
        received: BoxPosition | None = None,
    ) -> None:
        """Hand over a round and wait until it is on disk.

        If the caller is cancelled while it waits, the round is written all the same.
        """
        future = await self.submit(record, end, times, snapshot, received)
        await asyncio.wait([future])
        self._collect()
        if future.exception() is not None:
            self._raise_failure()

    async def end(self, record: EndRecord) -> None:
        """Note how the run ended, after all rounds in flight."""
        await self.wait_durable()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._rounds.end, record)

    async def keep_times(self) -> None:
        """Write the times of the latest round, which the next would have taken along: it may be long in coming."""
        await self.wait_durable()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._rounds.keep_times)

    async def wait_durable(self) -> None:
        """Wait until every round that was handed over is on disk."""
        while self._in_flight:
            await asyncio.wait([self._in_flight[-1]])
            self._collect()
        self._raise_failure()

    async def close(self) -> None:
        """Wait for what is in flight, and end the thread. A failure that nobody has been told yet is raised."""
        told = self._failure is not None
        try:
            if not told:
                await self.wait_durable()
        finally:
            self._thread.shutdown()

    def statistics(self) -> dict[str, int]:
        """`in_flight`: rounds handed over and not on disk; `written`: rounds on disk by this writer."""
        return {"in_flight": len(self._in_flight), "in_flight_max": self._in_flight_max, "written": self._written}

    def _collect(self) -> None:
        """Take away what is done. The first failure is kept: those after it only follow from it."""
        while self._in_flight and self._in_flight[0].done():
            error = self._in_flight.popleft().exception()
            if error is None:
                self._written += 1
            elif self._failure is None:
                self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
