"""The pool: many workers behind one queue. Which worker runs a job, in which batch and how often, changes no result.

Every worker has at most two batches: one that it works on, and one so that it never waits. How many jobs a batch has
follows from what jobs of the same code took so far. A worker that dies, or is beyond its deadline, is replaced, with
new shared memory, and its unfinished jobs run again: each alone, so that it is known which one kills workers, and a job
that does it again and again ends the run as a failure of the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from turnwise.confine import Measure
from turnwise.errors import EnvironmentFailure, InvariantError, TurnwiseError
from turnwise.sandbox.build.code import Code
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult
from turnwise.sandbox.pool.batch_queue import BatchQueue
from turnwise.sandbox.pool.deadline import FuelRate
from turnwise.sandbox.pool.worker_slot import BATCHES_MAX, WorkerSlot
from turnwise.sharedmem import Launch, Transport, launch
from turnwise.system.clock import SYSTEM_CLOCK, Clock

DEADLINE_MS_DEFAULT = 60_000
KILLS_MAX_DEFAULT = 3
WORKERS_MAX = 1024

SOON_US = 1_000
"""Time that all the jobs there are may be expected to take for whoever waits for them outside of the event loop."""

SOON_JOBS_MAX = 64
SOON_MS = 2
"""Time after which they are waited for in the loop: they take longer, or the worker has no core."""


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """Counts for telemetry.

    `workers`: slots of the pool; `ready`: those whose worker takes jobs. `queued`, `running`: jobs now. `executed`,
    `deaths`, `kills`: jobs, ends of workers, and ends by the deadline since the pool was made. `busy_us`: the time that
    workers spent on results that came.
    """

    workers: int
    ready: int
    queued: int
    running: int
    executed: int
    deaths: int
    kills: int
    busy_us: int


class Pool:
    """Pool of workers that execute jobs of `codes`. An async context manager; `close` leaves no process.

    `on_results` gets results in the event loop, in any order; `on_failure` is called at most once, when the pool has
    given up, and no result follows. `deadline_ms`: how long a worker may stand still; one that computes has the time
    that its fuel can take (`deadline`). `kills_max`: how many workers one job may take with it. `launch`, `clock` and
    `rate` are what the pool has of the machine: processes, clocks, and how long a unit of fuel takes.
    """

    def __init__(
        self,
        codes: Sequence[Code],
        *,
        workers: int,
        on_results: Callable[[list[TurnResult]], None],
        on_failure: Callable[[TurnwiseError], None],
        transport: Transport = "auto",
        deadline_ms: int = DEADLINE_MS_DEFAULT,
        kills_max: int = KILLS_MAX_DEFAULT,
        launch: Launch = launch,
        clock: Clock = SYSTEM_CLOCK,
        rate: FuelRate | None = None,
    ) -> None:
        if not 1 <= workers <= WORKERS_MAX:
            raise ValueError(f"workers must be between 1 and {WORKERS_MAX}, not {workers}")
        unique = {code.hash: code for code in codes}
        self._indices = {code_hash: index for index, code_hash in enumerate(unique)}
        self._on_results = on_results
        self._on_failure = on_failure
        self._kills_max = kills_max
        self._queue = BatchQueue(workers)
        self._kills: dict[int, int] = {}
        self._failed = False
        self._all_ready = asyncio.Event()
        self._executed = 0
        self._busy_us = 0
        self._rate = rate or FuelRate()
        self._slots = [
            WorkerSlot(
                f"worker-{number + 1}",
                tuple(unique.values()),
                self,
                transport=transport,
                deadline_ms=deadline_ms,
                rate=self._rate,
                launch=launch,
                clock=clock,
            )
            for number in range(workers)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Pool:
        self._tasks = [asyncio.create_task(slot.run(), name=slot.name) for slot in self._slots]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def submit(self, jobs: Sequence[TurnJob]) -> None:
        """Queue jobs; never blocks. Their results come through `on_results`."""
        indices = self._indices
        try:
            items = [(job, indices[job.code]) for job in jobs]
        except KeyError as error:
            raise InvariantError("a job names code that the pool was not made with", actual=error.args[0]) from None
        self._queue.add(items)
        self._dispatch()

    def take_soon(self) -> bool:
        """Wait for a worker here and now, if it has all the work that there is, and not much; whether it had results.

        The event loop does not run meanwhile: it saves a small round the way through it. Never longer than SOON_MS.
        """
        if self._failed or self._queue.queued:
            return False
        busy = [slot for slot in self._slots if slot.running]
        if len(busy) != 1 or len(running := busy[0].running) > SOON_JOBS_MAX:
            return False
        return self._queue.cost_us(running.values()) <= SOON_US and busy[0].take_soon(SOON_MS)

    async def close(self) -> None:
        """End all workers and drop what they have not finished. Twice is harmless."""
        self._failed = True
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._rate.close()

    async def wait_ready(self) -> None:
        """Wait until all workers are ready for jobs, or the pool has given up. Jobs can be submitted before."""
        await self._all_ready.wait()

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Confinement of the workers, as the first of them that was ready reported; empty before."""
        return next((slot.measures for slot in self._slots if slot.measures), ())

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that run now."""
        return [slot.pid for slot in self._slots if slot.pid is not None]

    def statistics(self) -> PoolStatistics:
        """Return counts of the pool's work, now and so far."""
        return PoolStatistics(
            workers=len(self._slots),
            ready=sum(slot.ready for slot in self._slots),
            queued=self._queue.queued,
            running=sum(len(slot.running) for slot in self._slots),
            executed=self._executed,
            deaths=sum(slot.deaths for slot in self._slots),
            kills=sum(slot.kills for slot in self._slots),
            busy_us=self._busy_us,
        )

    @property
    def jobs(self) -> list[int | None]:
        """Jobs that each worker has, by slot; None for one that is not ready. For display only."""
        return [len(slot.running) if slot.ready else None for slot in self._slots]

    # What slots report.

    def slot_free(self) -> None:
        """Hand out batches, since a slot can take one."""
        if not self._all_ready.is_set() and all(slot.ready for slot in self._slots):
            self._all_ready.set()
        self._dispatch()

    def slot_results(self, results: list[TurnResult], costs_us: dict[int, tuple[int, int]]) -> None:
        """Pass on the checked results of a worker; `costs_us` are times and numbers of jobs by code index."""
        self._executed += len(results)
        for index, (took_us, jobs) in costs_us.items():
            self._busy_us += took_us
            self._queue.learn(index, took_us, jobs)
        if self._kills:
            for result in results:
                self._kills.pop(result.id, None)
        self._dispatch()
        if not self._failed:
            self._on_results(results)

    def slot_died(self, unfinished: list[TurnJob], reason: str) -> None:
        """Queue the jobs of a worker that is gone again, each alone; a job that was alone with it may be the cause."""
        if len(unfinished) == 1:
            job = unfinished[0]
            kills = self._kills[job.id] = self._kills.get(job.id, 0) + 1
            if kills >= self._kills_max:
                self.slot_failed(
                    EnvironmentFailure(
                        f"a job ended {kills} workers, one after the other: {reason}",
                        where="sandbox",
                        actual=job.id,
                        hint="Nothing committed is lost: free memory, or end what stops processes, and resume the run.",
                    )
                )
                return
        for job in unfinished:
            self._queue.add_alone(job, self._indices[job.code])

    def slot_failed(self, error: TurnwiseError) -> None:
        """Give up, since workers cannot work at all."""
        if not self._failed:
            self._failed = True
            self._all_ready.set()
            self._on_failure(error)

    def _dispatch(self) -> None:
        if self._failed:
            return
        for batches in range(BATCHES_MAX):  # first to those that have nothing to do
            for slot in self._slots:
                if not self._queue.queued:
                    return
                if slot.batches == batches and slot.takes_batches:
                    batch = self._queue.next_batch(idle=not slot.running)
                    if batch:
                        slot.start_batch(batch)


async def measures_here(transport: Transport = "auto") -> tuple[Measure, ...]:
    """Start a worker and return how it is confined on this machine. Raises what keeps it from starting."""
    failures: list[TurnwiseError] = []
    async with Pool((), workers=1, on_results=lambda _: None, on_failure=failures.append, transport=transport) as pool:
        await pool.wait_ready()
        if failures:
            raise failures[0]
        return pool.measures
