"""The queue of jobs, cut into batches: large enough to be cheap, small enough to share the work.

Sizes follow times that were measured, so they differ from run to run. Nothing that a run computes depends on them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from turnwise.sandbox.execute.jobs import TurnJob

BATCH_JOBS_MAX = 256
BATCH_BYTES_MAX = 4 * 1024 * 1024
BATCH_US = 10_000
"""Time that a batch is meant to take."""

SMALL_US = 250
"""Time that a batch may take before it is worth sharing: handing over takes some 100 microseconds by itself."""

COST_US_UNKNOWN = 10_000
"""Assumed cost of a job of code that never ran: its first batch has one job."""

LEARNING_RATE = 1 / 8

Item = tuple[TurnJob, int]
"""A job and the index of its code."""


class BatchQueue:
    """Queue of the jobs that no worker has, and the mean cost of jobs of each code so far."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._queue: deque[Item] = deque()
        self._alone: deque[Item] = deque()
        self._costs_us: dict[int, float] = {}

    @property
    def queued(self) -> int:
        return len(self._queue) + len(self._alone)

    def add(self, items: Iterable[Item]) -> None:
        """Queue jobs."""
        self._queue.extend(items)

    def add_alone(self, job: TurnJob, index: int) -> None:
        """Queue a job before all others, to be run in a batch of its own by a worker that has no other."""
        self._alone.append((job, index))

    def learn(self, index: int, took_us: int, jobs: int = 1) -> None:
        """Take the time that jobs of code `index` took together into its mean cost."""
        cost, mean = self._costs_us.get(index), took_us / jobs
        self._costs_us[index] = mean if cost is None else cost + (mean - cost) * min(1.0, jobs * LEARNING_RATE)

    def cost_us(self, items: Iterable[Item]) -> float:
        """Return the time that jobs are expected to take, one after the other."""
        costs_us = self._costs_us
        return sum([costs_us.get(index, COST_US_UNKNOWN) for _, index in items])

    def next_batch(self, *, idle: bool) -> list[Item]:
        """Take the next batch for a worker, which is `idle` or has a batch already; empty if there is none for it."""
        if self._alone:
            return [self._alone.popleft()] if idle else []
        queue = self._queue
        jobs_max = min(BATCH_JOBS_MAX, -(-len(queue) // (2 * self._workers)))
        batch: list[Item] = []
        costs_us = self._costs_us
        cost_us, size = 0.0, 0
        while queue and len(batch) < BATCH_JOBS_MAX:
            if len(batch) >= jobs_max and cost_us >= SMALL_US:
                break
            job, index = queue[0]
            cost_us += costs_us.get(index, COST_US_UNKNOWN)
            size += job.size_bytes
            if batch and (cost_us > BATCH_US or size > BATCH_BYTES_MAX):
                break
            batch.append(queue.popleft())
        return batch
