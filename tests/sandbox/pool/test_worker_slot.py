"""The place of one worker, with workers that are made up: how many may die, how many batches one has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from turnwise.errors import EnvironmentFailure, TurnwiseError
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult
from turnwise.sandbox.pool import messages
from turnwise.sandbox.pool.deadline import FuelRate
from turnwise.sandbox.pool.pool import Pool
from turnwise.sandbox.pool.worker_slot import BARREN_DEATHS_MAX, Misbehaviour, WorkerSlot, _checked
from turnwise.sharedmem import LinkMessage
from turnwise.system.clock import SYSTEM_CLOCK


class DeadAtOnce:
    """A worker that dies before it says anything."""

    pid = 1
    returncode = 9

    def send_nowait(self, kind: int, *parts: object) -> bool:
        return True

    async def send(self, kind: int, *parts: object) -> None: ...

    async def receive(self) -> LinkMessage | None:
        return None

    def receive_soon(self, wait_ms: int) -> LinkMessage | None:
        return None

    def stderr_tail(self) -> str:
        return "last words"

    def kill(self) -> None: ...

    async def wait(self) -> int:
        return 9

    async def close(self, grace_ms: int = 0) -> None: ...


class Launches:
    """Starts such workers, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(
        self, module: str, *, name: str, transport: object = None, environment: Mapping[str, str] | None = None
    ) -> DeadAtOnce:
        self.count += 1
        return DeadAtOnce()


class Kept:
    """An owner that keeps what a slot reports."""

    def __init__(self) -> None:
        self.failures: list[TurnwiseError] = []
        self.died: list[list[int]] = []

    def slot_free(self) -> None: ...

    def slot_results(self, results: list[TurnResult], costs_us: dict[int, tuple[int, int]]) -> None: ...

    def slot_died(self, unfinished: list[TurnJob], reason: str) -> None:
        self.died.append([job.id for job in unfinished])

    def slot_failed(self, error: TurnwiseError) -> None:
        self.failures.append(error)


def slot_of(owner: Kept, launches: Launches) -> WorkerSlot:
    return WorkerSlot(
        "worker-1",
        (),
        owner,
        transport="auto",
        deadline_ms=1_000,
        rate=FuelRate(),
        launch=launches,
        clock=SYSTEM_CLOCK,
    )


def job(number: int) -> TurnJob:
    return TurnJob(number, "code", b"{}", (), 1, 1, 1)


def test_workers_that_die_before_they_do_anything_are_replaced_a_few_times() -> None:
    async def run() -> tuple[Kept, Launches, WorkerSlot]:
        owner, launches = Kept(), Launches()
        slot = slot_of(owner, launches)
        await slot.run()
        return owner, launches, slot

    owner, launches, slot = asyncio.run(run())
    assert launches.count == slot.deaths == BARREN_DEATHS_MAX + 1 == 6
    (failure,) = owner.failures
    assert isinstance(failure, EnvironmentFailure)
    assert failure.message == "6 workers in a row died before they did anything: it ended with status 9\nlast words"
    assert owner.died == []
    assert slot._timer is None, "what ends a worker that does not begin would end the next one"


def test_a_worker_has_two_batches_at_most() -> None:
    async def run() -> list[bool]:
        slot = slot_of(Kept(), Launches())
        slot.ready = True
        found = []
        for _ in range(3):
            found.append(slot.takes_batches)
            slot._batches.append(1)
        return found

    assert asyncio.run(run()) == [True, True, False]


class Released:
    def release(self, slot: int) -> None: ...


def message(kind: int, body: object) -> LinkMessage:
    return LinkMessage(kind, memoryview(messages.encode(body)), Released(), 0)


def item(number: int, fuel: int = 1, status: str = "completed", failure: str | None = None) -> messages.ResultItem:
    return (number, status, b"", failure, fuel, "", 1)  # type: ignore[return-value]


def test_results_come_after_it_is_ready_and_readiness_once() -> None:
    async def run() -> None:
        slot = slot_of(Kept(), Launches())
        with pytest.raises(Misbehaviour, match="out of turn"):
            slot._take(message(messages.RESULTS, []))
        slot._take(message(messages.READY, [("seccomp", True, "")]))
        assert (slot.ready, [measure.name for measure in slot.measures]) == (True, ["seccomp"])
        slot._take(message(messages.RESULTS, []))
        with pytest.raises(Misbehaviour, match="out of turn"):
            slot._take(message(messages.READY, []))

    asyncio.run(run())


def test_results_are_taken_from_the_batches_that_they_belong_to() -> None:
    async def run() -> tuple[bool, list[int], list[int]]:
        slot = slot_of(Kept(), Launches())
        slot.running.update({number: (job(number), 0) for number in (1, 2, 3, 4)})
        slot._batches.extend([2, 2])
        slot._take_results([item(1), item(2), item(3)])
        return slot._moved, list(slot.running), list(slot._batches)

    assert asyncio.run(run()) == (True, [4], [1]), "a worker that gives results moves"


@pytest.mark.parametrize("fuel", [0, 1, -1, 2])
def test_a_result_takes_no_less_than_nothing_and_no_more_than_its_fuel(fuel: int) -> None:
    if fuel in (0, 1):
        assert _checked(job(7), item(7, fuel), b"").fuel == fuel
    else:
        with pytest.raises(Misbehaviour, match="beyond its limits"):
            _checked(job(7), item(7, fuel), b"")


def content(body: bytes) -> LinkMessage:
    return LinkMessage(messages.CONTENT, memoryview(body), Released(), 0)


class Collected(Kept):
    """An owner that keeps results, too."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[TurnResult] = []

    def slot_results(self, results: list[TurnResult], costs_us: dict[int, tuple[int, int]]) -> None:
        self.results += results


def with_jobs(numbers: Sequence[int], owner: Kept) -> WorkerSlot:
    slot = slot_of(owner, Launches())
    slot.ready = True
    slot.running.update({number: (replace(job(number), output_bytes_max=5), 0) for number in numbers})
    slot._batches.append(len(numbers))
    return slot


def test_a_content_belongs_to_the_last_of_the_results_that_follow() -> None:
    async def run() -> list[TurnResult]:
        owner = Collected()
        slot = with_jobs((1, 2, 3), owner)
        slot._take(content(b"12345"))
        slot._take(message(messages.RESULTS, [item(1), item(2, status="needs")]))
        slot._take(message(messages.RESULTS, [item(3, status="needs")]))
        return owner.results

    assert [(result.id, result.content) for result in asyncio.run(run())] == [(1, b""), (2, b"12345"), (3, b"")]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ([content(b"")], "belongs to no request"),
        ([content(b"1"), content(b"2")], "belongs to no request"),
        ([content(b"123456")], "beyond the limits of its jobs"),
        ([content(b"1"), message(messages.RESULTS, [])], "belongs to no request"),
        ([content(b"1"), message(messages.RESULTS, [item(1)])], "as completed with a content"),
        ([content(b"12345"), message(messages.RESULTS, [(1, "needs", b"x", None, 1, "", 1)])], "beyond its limits"),
    ],
)
def test_a_content_that_cannot_be_is_no_honest_worker_s(sent: list[LinkMessage], said: str) -> None:
    async def run() -> None:
        slot = with_jobs((1,), Collected())
        for one in sent:
            slot._take(one)

    with pytest.raises(Misbehaviour, match=said):
        asyncio.run(run())


def test_a_content_of_a_worker_without_jobs_is_none() -> None:
    async def run() -> None:
        with_jobs((), Collected())._take(content(b"1"))

    with pytest.raises(Misbehaviour, match="beyond the limits"):
        asyncio.run(run())


def pool_of(workers: int) -> Pool:
    return Pool((), workers=workers, on_results=lambda _: None, on_failure=lambda _: None, launch=Launches())


def test_a_pool_has_up_to_1024_workers() -> None:
    async def run(workers: int) -> int:
        return len(pool_of(workers)._slots)

    assert [asyncio.run(run(workers)) for workers in (1, 1_024)] == [1, 1_024]
    for workers in (0, 1_025):
        with pytest.raises(ValueError, match="between 1 and 1024"):
            asyncio.run(run(workers))


def test_a_job_that_took_workers_with_it_and_ended_is_blamed_no_more() -> None:
    async def run() -> list[dict[int, int]]:
        pool = pool_of(1)
        pool._indices["code"] = 0
        found = []
        for report in (
            lambda: pool.slot_died([job(7)], "gone"),
            lambda: pool.slot_died([job(8)], "gone"),
            lambda: pool.slot_results([TurnResult(7, "completed", b"", None, 1, "")], {0: (1, 1)}),
        ):
            report()
            found.append(dict(pool._kills))
        return found

    assert asyncio.run(run()) == [{7: 1}, {7: 1, 8: 1}, {8: 1}]


def test_a_job_that_runs_alone_is_given_to_nobody_who_has_another() -> None:
    async def run() -> list[list[int]]:
        pool = pool_of(1)
        pool._indices["code"] = 0
        (slot,) = pool._slots
        given: list[list[int]] = []
        slot.start_batch = lambda batch: given.append([one.id for one, _ in batch])  # type: ignore[method-assign]
        slot.ready = True
        slot._batches.append(1)
        slot.running[5] = (job(5), 0)
        pool.slot_died([job(7)], "gone")
        pool.slot_free()
        assert given == []
        slot.running.clear()
        slot._batches.clear()
        pool.slot_free()
        return given

    assert asyncio.run(run()) == [[7]]


def test_leaving_a_pool_ends_its_workers() -> None:
    class Waits(DeadAtOnce):
        closed = 0

        async def receive(self) -> LinkMessage | None:
            await asyncio.Event().wait()
            return None

        async def close(self, grace_ms: int = 0) -> None:
            Waits.closed += 1

    async def launch(
        module: str, *, name: str, transport: object = None, environment: Mapping[str, str] | None = None
    ) -> Waits:
        started.set()
        return Waits()

    async def run() -> None:
        async with Pool((), workers=1, on_results=lambda _: None, on_failure=lambda _: None, launch=launch):
            await started.wait()
            assert Waits.closed == 0
        assert Waits.closed == 1

    started = asyncio.Event()
    asyncio.run(run())
