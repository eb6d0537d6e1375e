"""Commits for an asyncio loop: the disk is waited for on a thread of its own.

The rows of a round are made in the loop's thread, SQLite is driven on the writer's. Commits keep the order in which
they were asked for. While one transaction is under way the rounds that come meanwhile wait, and the next takes them
together: a round of two agents takes less time than a disk. The loop may be ahead by a bounded number of rounds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Final, Self

from turnwise.core.records import EndRecord
from turnwise.journal.file.ahead_row import AheadRow
from turnwise.journal.write.encode import Batch
from turnwise.journal.write.round_commit import RoundCommit
from turnwise.journal.write.rounds import RoundWriter

ROUNDS_MAX: Final = 64
"""Rounds that may be handed over and not yet on disk, however small they are."""

LARGE_ROUNDS_MAX: Final = 4
"""Rounds that may be handed over and not yet on disk, however large they are."""

AHEAD_BYTES_MAX: Final = 8 * 1024 * 1024
"""Memory of rounds that are handed over and not yet on disk, above which there are no more than LARGE_ROUNDS_MAX."""

TRANSACTION_BYTES_MAX: Final = 1024 * 1024
"""Memory of the rows of several rounds that one transaction takes; a larger round has one by itself."""


class JournalWriter:
    """Commits by the writer of an open journal, which stays the caller's to close. An async context manager.

    Belongs to one event loop; several tasks may commit at once. After a failure every later call raises it again, since
    a round that follows a lost one must not be written; `on_failure` is told of it at once. `thread` does one thing
    after the other, in order, and is shut down with the writer; None: a thread of its own. `in_loop`: a round that is
    waited for, and has none before it, is written in the loop's own thread, which saves the way to the other and back;
    so is what is known of an effect while nothing else goes on.
    """

    def __init__(
        self,
        rounds: RoundWriter,
        *,
        rounds_max: int = ROUNDS_MAX,
        thread: Executor | None = None,
        in_loop: bool = False,
    ) -> None:
        self.on_failure: Callable[[BaseException], None] | None = None
        self._rounds = rounds
        self._rounds_max = rounds_max
        self._thread = thread or ThreadPoolExecutor(1, thread_name_prefix="turnwise-journal")
        self._in_loop = in_loop
        self._waiting: deque[Batch] = deque()
        self._together: list[Batch] = []
        self._writing: asyncio.Future[None] | None = None
        self._turnstile = asyncio.Lock()
        self._failure: BaseException | None = None
        self._told = False
        self._bytes = 0
        self._handed = 0
        self._written = 0
        self._others = 0
        self._ahead: list[tuple[AheadRow, asyncio.Future[None]]] = []
        self._writing_ahead: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def hand_over(self, commit: RoundCommit) -> int:
        """Hand over a round, and wait while too much is in flight.

        Returns how many have been handed over, for `wait_durable`.
        """
        async with self._turnstile:  # first come, first served
            while self._is_full and self._writing is not None:
                await asyncio.wait([self._writing])
            self._raise_failure()
            batch = self._rounds.encode(commit)
            self._waiting.append(batch)
            self._bytes += batch.size_bytes
            self._handed += 1
            if self._writing is None:
                self._write_next()
            return self._handed

    async def commit(self, commit: RoundCommit) -> None:
        """Hand over a round and wait until it is on disk.

        If the caller is cancelled while it waits, the round is written all the same.
        """
        if self._may_write_here and not self._turnstile.locked():
            self._raise_failure()
            self._write_here(self._rounds.encode(commit))
        else:
            await self.wait_durable(await self.hand_over(commit))

    async def ahead(self, row: AheadRow, *, is_alone: bool = False) -> None:
        """Write what is known of an effect before its round is committed, and wait until it is on disk.

        Comes behind all rounds that were handed over before. What comes while another write goes on is written at once.
        `is_alone`: nothing else could go on meanwhile, so that the loop's own thread may write it, as with `commit`.
        """
        self._raise_failure()
        if is_alone and self._may_write_here:
            self._write_ahead_here(row)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ahead.append((row, future))
        if self._writing_ahead is None:
            self._writing_ahead = asyncio.ensure_future(self._write_ahead())
        await asyncio.shield(future)

    async def _write_ahead(self) -> None:
        loop = asyncio.get_running_loop()
        while self._ahead:
            batch, self._ahead = self._ahead, []
            error: BaseException | None = None
            try:
                await self.wait_durable(self._handed)
                await loop.run_in_executor(self._thread, self._rounds.write_ahead, [row for row, _ in batch])
            except BaseException as failure:
                error = failure
                self._fail(failure)
            for _, future in batch:
                if not future.done() and error is None:
                    future.set_result(None)
                elif not future.done() and error is not None:
                    future.set_exception(error)
                    future.exception()  # who has asked may be gone
        self._writing_ahead = None

    async def end(self, record: EndRecord) -> None:
        """Note how the run ended, after all rounds in flight."""
        await self.wait_durable()
        await self._on_thread(partial(self._rounds.end, record))

    async def keep_times(self) -> None:
        """Write the times of the latest rounds, which the next would have taken along: it may be long in coming."""
        await self.wait_durable()
        await self._on_thread(self._rounds.keep_times)

    async def wait_durable(self, count: int | None = None) -> None:
        """Wait until so many of the rounds that were handed over are on disk; None: until all are."""
        while self._writing is not None and (count is None or self._written < count):
            await asyncio.wait([self._writing])
        if count is None or self._written < count:
            self._raise_failure()

    async def close(self) -> None:
        """Wait for what is in flight, and end the thread. A failure that nobody has been told yet is raised."""
        try:
            while self._writing is not None:
                await asyncio.wait([self._writing])
            if self._writing_ahead is not None:
                await self._writing_ahead
            if not self._told:
                self._raise_failure()
        finally:
            self._thread.shutdown()

    def statistics(self) -> dict[str, int]:
        """`in_flight`: rounds handed over and not on disk; `written`: rounds on disk by this writer."""
        return {"in_flight": self._in_flight, "in_flight_max": self._rounds_max, "written": self._written}

    async def _on_thread(self, write: Callable[[], None]) -> None:
        """Have the thread write what is no round, and wait for it."""
        self._others += 1
        writing = asyncio.get_running_loop().run_in_executor(self._thread, write)
        writing.add_done_callback(self._other_written)
        await asyncio.shield(writing)  # who is cancelled does not end what the thread does

    def _other_written(self, _: object) -> None:
        self._others -= 1

    @property
    def _may_write_here(self) -> bool:
        """True if the loop's own thread may write: it was allowed to, and the other has nothing to do."""
        return self._in_loop and self._writing is self._writing_ahead is None and not self._others

    # -- transactions ------------------------------------------------------------------------------------------------

    @property
    def _in_flight(self) -> int:
        return len(self._waiting) + len(self._together)

    @property
    def _is_full(self) -> bool:
        in_flight = self._in_flight
        return in_flight >= self._rounds_max or (in_flight >= LARGE_ROUNDS_MAX and self._bytes > AHEAD_BYTES_MAX)

    def _write_next(self) -> None:
        """Have the rounds that wait written: a power of two of them, so that few forms of statements are needed."""
        waiting, together = self._waiting, self._together
        count = 1 << (len(waiting).bit_length() - 1)
        size = 0
        while len(together) < count:
            size += waiting[0].size_bytes
            if together and size > TRANSACTION_BYTES_MAX:
                break
            batch = waiting.popleft()
            together.append(batch)
            if batch.end is not None:
                break
        self._writing = asyncio.get_running_loop().run_in_executor(self._thread, self._rounds.write, *together)
        self._writing.add_done_callback(self._after)

    def _after(self, writing: asyncio.Future[None]) -> None:
        """Take what came of a transaction, and begin the next. The first failure is kept: nothing is written after it.

        It is called before whoever waits for the transaction goes on.
        """
        together, self._together, self._writing = self._together, [], None
        if writing.cancelled():
            return
        error = writing.exception()
        if error is not None:
            self._waiting.clear()
            self._bytes = 0
            self._fail(error)
            return
        self._written += len(together)
        self._bytes -= sum([batch.size_bytes for batch in together])
        if self._waiting:
            self._write_next()

    def _write_here(self, batch: Batch) -> None:
        try:
            self._rounds.write(batch)
        except BaseException as error:
            self._fail(error)
            self._raise_failure()
        self._handed += 1
        self._written += 1

    def _write_ahead_here(self, row: AheadRow) -> None:
        try:
            self._rounds.write_ahead([row])
        except BaseException as error:
            self._fail(error)
            self._raise_failure()

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
            if self.on_failure is not None:
                self._told = True
                self.on_failure(error)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._told = True
            raise self._failure
