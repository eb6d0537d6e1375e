"""The driver beside parts that fail: between rounds, in one, and while a round is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from tests.core.worlds import kind, plan
from turnwise.core.machine import Machine
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.snapshot import Snapshot
from turnwise.errors import EnvironmentFailure, InvariantError
from turnwise.journal.file.box_position import BoxPosition
from turnwise.orchestrator.driver import COMMITS_MAX, Driver, RoundTimes
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult

ROUND_S_MAX = 60


class Parts:
    """Sandboxes that answer each job with the same output, if they answer at all, and a sink that can fail."""

    def __init__(self) -> None:
        machine = Machine(plan([kind("a", start=True)], rounds_max=100), "{}")
        self.driver = Driver(machine, self)
        self.driver.sandboxes = self
        self.answers = True
        self.jobs: list[TurnJob] = []
        self.committed: list[int] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.failure: Exception | None = None

    def submit(self, jobs: Sequence[TurnJob]) -> None:
        self.jobs += jobs
        if self.answers:
            body = b'{"state":"","wake_in":1}'
            results = [TurnResult(job.id, "completed", body, None, 1, "") for job in jobs]
            asyncio.get_running_loop().call_soon(self.driver.on_results, results)

    async def commit(
        self,
        record: RoundRecord,
        end: EndRecord | None = None,
        times: RoundTimes | None = None,
        snapshot: Snapshot | None = None,
        received: BoxPosition | None = None,
    ) -> None:
        await self.hold.wait()
        if self.failure is not None:
            raise self.failure
        self.committed.append(record.round)

    async def end(self, record: EndRecord) -> None:
        raise AssertionError(record)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Fails rather than hangs."""
    asyncio.run(asyncio.wait_for(coroutine, ROUND_S_MAX))


def test_a_failure_before_the_first_round_is_raised_by_it() -> None:
    async def main() -> None:
        parts = Parts()
        parts.answers = False
        parts.driver.on_failure(EnvironmentFailure("no worker can be started"))
        with pytest.raises(EnvironmentFailure, match="no worker"):
            await parts.driver.round()
        assert parts.jobs == []

    run(main())


def test_a_failure_between_rounds_is_raised_by_the_next_and_all_after_it() -> None:
    async def main() -> None:
        parts = Parts()
        await parts.driver.round()
        parts.driver.on_failure(EnvironmentFailure("the workers are gone"))
        parts.driver.on_failure(EnvironmentFailure("so is the rest"))
        for _ in range(2):
            with pytest.raises(EnvironmentFailure, match="the workers are gone"):
                await parts.driver.round()
        await parts.driver.settle()
        assert parts.committed == [1]

    run(main())


def test_a_failure_in_a_round_ends_it() -> None:
    async def main() -> None:
        parts = Parts()
        parts.answers = False
        playing = asyncio.create_task(parts.driver.round())
        while not parts.jobs:
            await asyncio.sleep(0)
        parts.driver.on_failure(EnvironmentFailure("the workers are gone"))
        with pytest.raises(EnvironmentFailure, match="gone"):
            await playing
        with pytest.raises(EnvironmentFailure, match="gone"):
            await parts.driver.round()

    run(main())


def test_a_commit_that_fails_ends_the_round_in_progress() -> None:
    async def main() -> None:
        parts = Parts()
        parts.hold.clear()
        await parts.driver.round()
        parts.answers = False
        playing = asyncio.create_task(parts.driver.round())
        while len(parts.jobs) < 2:
            await asyncio.sleep(0)
        parts.failure = EnvironmentFailure("the disk is full")
        parts.hold.set()
        with pytest.raises(EnvironmentFailure, match="the disk is full"):
            await playing
        with pytest.raises(EnvironmentFailure, match="the disk is full"):
            await parts.driver.settle()

    run(main())


def test_a_commit_that_fails_by_a_defect_ends_the_run_as_one() -> None:
    async def main() -> None:
        parts = Parts()
        parts.failure = ZeroDivisionError("in the writer")
        await parts.driver.round()
        parts.answers = False
        with pytest.raises(InvariantError, match="ZeroDivisionError: in the writer"):
            await parts.driver.round()

    run(main())


def test_no_more_than_a_few_rounds_are_ahead_of_the_disk() -> None:
    async def main() -> None:
        parts = Parts()
        parts.hold.clear()
        for _ in range(COMMITS_MAX):
            await parts.driver.round()
        ahead = asyncio.create_task(parts.driver.round())
        while len(parts.jobs) <= COMMITS_MAX:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not ahead.done()
        parts.hold.set()
        await ahead
        await parts.driver.settle()
        assert parts.committed == list(range(1, COMMITS_MAX + 2))

    run(main())
