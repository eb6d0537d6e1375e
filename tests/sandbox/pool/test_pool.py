"""The pool with real worker processes: results are the same whatever happens to the workers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import turnwise
from turnwise.core.turn import FailureClass
from turnwise.errors import EnvironmentFailure, InvariantError, TurnwiseError
from turnwise.sandbox.build.cache import Cache
from turnwise.sandbox.build.code import Code, Source, prepare
from turnwise.sandbox.execute.engine import engine_key
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult
from turnwise.sandbox.pool import deadline, worker_slot
from turnwise.sandbox.pool import pool as worker_pool
from turnwise.sandbox.pool.batch_queue import Item
from turnwise.sandbox.pool.pool import SOON_JOBS_MAX, Pool, PoolStatistics
from turnwise.sandbox.pool.worker_slot import WorkerSlot
from turnwise.sharedmem import Transport

TRANSPORTS: tuple[Transport, ...] = ("memfd", "portable") if sys.platform == "linux" else ("portable",)
MIB = 1024 * 1024
WAIT_S_MAX = 120
CHILDREN = str(Path(__file__).parents[1] / "children")
SOURCES = str(Path(turnwise.__path__[0]).parent)
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

AGENT = """(module
  (import "turnwise" "effect" (func $effect (param i32 i32) (result i64)))
  (memory (export "memory") 16)
  (global $top (mut i32) (i32.const 1024))
  (func (export "turnwise_alloc") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (local.get $at))
  (func (export "turnwise_turn") (param $p i32) (param $n i32) (result i64)
    (local $spin i32) (local $kind i32)
    ;; The first byte says what to do, the second how long to count before.
    (local.set $kind (i32.load8_u (local.get $p)))
    (local.set $spin (i32.mul (i32.load8_u offset=1 (local.get $p)) (i32.const 10000)))
    (block (loop
      (br_if 1 (i32.eqz (local.get $spin)))
      (local.set $spin (i32.sub (local.get $spin) (i32.const 1)))
      (br 0)))
    (if (i32.eq (local.get $kind) (i32.const 0x74)) (then unreachable))           ;; t
    (if (i32.eq (local.get $kind) (i32.const 0x6c)) (then (loop (br 0))))         ;; l
    (if (i32.eq (local.get $kind) (i32.const 0x65))                               ;; e
      (then (return (call $effect (local.get $p) (local.get $n)))))
    (i64.or (i64.shl (i64.extend_i32_u (local.get $p)) (i64.const 32)) (i64.extend_i32_u (local.get $n)))))"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Code:
    source = Source("agents.agent.source", "wat", {"agent.wat": AGENT.encode()}, "agent.wat")
    cache = Cache(engine_key(), tmp_path_factory.mktemp("cache") / "cache")
    return asyncio.run(prepare([source], cache=cache))[0]


def job(agent: Code, number: int, text: bytes = b"", fuel: int = 10_000_000, **changes: Any) -> TurnJob:
    values = {"replies": (), "memory_bytes": 4 * MIB, "output_bytes_max": MIB} | changes
    return TurnJob(number, agent.hash, text or b"c\0job %d" % number, fuel=fuel, **values)


def mixed(agent: Code, count: int) -> list[TurnJob]:
    """Jobs that complete, ask, trap and run out of fuel, some long and some short."""
    kinds = [b"c\0", b"c\x20", b"e\0", b"t\0", b"l\0", b"c\x01", b"e\x10"]
    return [
        job(agent, number, kinds[number % len(kinds)] + b"job %d" % number, fuel=5_000_000 + number)
        for number in range(count)
    ]


class Collector:
    """Takes what a pool reports. `finished` is done when `count` results are there, or the pool has failed."""

    def __init__(self, count: int) -> None:
        self.results: dict[int, TurnResult] = {}
        self.failures: list[TurnwiseError] = []
        self.on_first: Callable[[], None] | None = None
        self._count = count
        self._finished = asyncio.Event()

    def on_results(self, results: list[TurnResult]) -> None:
        for result in results:
            assert result.id not in self.results, "a result came twice"
            self.results[result.id] = result
        if self.on_first is not None:
            self.on_first, first = None, self.on_first
            first()
        if len(self.results) >= self._count:
            self._finished.set()

    def on_failure(self, error: TurnwiseError) -> None:
        self.failures.append(error)
        self._finished.set()

    async def wait(self) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            await self._finished.wait()


def pool_of(codes: list[Code], collector: Collector, workers: int = 1, **options: Any) -> Pool:
    return Pool(codes, workers=workers, on_results=collector.on_results, on_failure=collector.on_failure, **options)


async def play(agent: Code, jobs: list[TurnJob], workers: int = 1, **options: Any) -> dict[int, TurnResult]:
    collector = Collector(len(jobs))
    async with pool_of([agent], collector, workers, **options) as pool:
        pool.submit(jobs)
        await collector.wait()
        assert pool.statistics().executed == len(jobs)
        assert (pool.statistics().queued, pool.statistics().running) == (0, 0)
    assert collector.failures == []
    return collector.results


@pytest.fixture(scope="module")
def expected(agent: Code) -> dict[int, TurnResult]:
    return asyncio.run(play(agent, mixed(agent, 300)))


def test_every_kind_of_end_comes_through(agent: Code, expected: dict[int, TurnResult]) -> None:
    kinds = [(expected[number].status, expected[number].failure) for number in range(7)]
    assert kinds == [
        ("completed", None),
        ("completed", None),
        ("needs", None),
        ("failed", FailureClass.TRAP),
        ("failed", FailureClass.FUEL),
        ("completed", None),
        ("needs", None),
    ]
    assert expected[7].body == b"c\0job 7"
    assert expected[9].body == b"e\0job 9"
    assert expected[11].fuel == 5_000_011
    assert len({expected[number].fuel for number in (0, 7, 14)}) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_neither_workers_nor_transport_change_a_result(
    agent: Code, expected: dict[int, TurnResult], workers: int, transport: Transport
) -> None:
    assert asyncio.run(play(agent, mixed(agent, 300), workers, transport=transport)) == expected


def test_hash_seeds_change_nothing(
    agent: Code, expected: dict[int, TurnResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in ("0", "1", "4294967295"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        assert asyncio.run(play(agent, mixed(agent, 300), 2)) == expected


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def disturbed(
    agent: Code, disturb: Callable[[Pool], None], workers: int, **options: Any
) -> tuple[dict[int, TurnResult], Pool]:
    """Plays the mixed jobs, and disturbs the workers when the first results are there: the rest is under way then."""
    collector = Collector(300)
    async with pool_of([agent], collector, workers, **options) as pool:
        collector.on_first = lambda: disturb(pool)
        pool.submit(mixed(agent, 300))
        await collector.wait()
        assert collector.failures == []
    return collector.results, pool


@posix
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_worker_that_is_killed_changes_nothing(
    agent: Code, expected: dict[int, TurnResult], workers: int, transport: Transport
) -> None:
    def kill(pool: Pool) -> None:
        assert pool.statistics().running
        for pid in pool.pids:
            os.kill(pid, signal.SIGKILL)

    results, pool = asyncio.run(disturbed(agent, kill, workers, transport=transport))
    assert results == expected
    assert pool.statistics().deaths >= 1


@posix
def test_a_worker_that_is_stopped_beyond_its_deadline_changes_nothing(
    agent: Code, expected: dict[int, TurnResult]
) -> None:
    stopped: list[int] = []

    def stop(pool: Pool) -> None:
        stopped.extend(pool.pids)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)

    results, pool = asyncio.run(disturbed(agent, stop, 2, deadline_ms=3_000))
    assert results == expected
    assert 1 <= pool.statistics().kills <= 2
    assert not any(alive(pid) for pid in stopped)


@posix
def test_workers_that_are_killed_while_they_have_nothing_are_replaced(agent: Code) -> None:
    async def run() -> None:
        collector = Collector(20)
        async with pool_of([agent], collector, 2) as pool:
            await pool.wait_ready()
            before = pool.pids
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            pool.submit([job(agent, number) for number in range(20)])
            await collector.wait()
            assert collector.failures == []
            assert len(collector.results) == 20

    asyncio.run(run())


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that stand still at a job with very much fuel."""
    monkeypatch.setattr(worker_slot, "WORKER", "sandbox_child")
    for name, value in {"SANDBOX_ROLE": "stand", "PYTHONPATH": os.pathsep.join([CHILDREN, SOURCES])}.items():
        monkeypatch.setitem(worker_slot.WORKER_ENVIRONMENT, name, value)


def test_a_turn_that_computes_for_longer_than_a_worker_may_stand_still_ends_by_its_fuel(agent: Code) -> None:
    async def run() -> None:
        collector = Collector(1)
        async with pool_of([agent], collector, 1, deadline_ms=1_000) as pool:
            pool.submit([job(agent, 0, b"l\0", fuel=8_000_000_000)])
            await collector.wait()
            assert (pool.statistics().kills, collector.failures) == (0, [])
        assert collector.results[0].failure is FailureClass.FUEL

    asyncio.run(run())


def test_a_worker_that_computes_beyond_what_its_fuel_allows_is_ended(
    agent: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with a machine that is said to be much faster than it is, the same turn ends workers."""

    async def very_fast() -> float:
        return 1e-12

    monkeypatch.setattr(deadline, "_measure", very_fast)
    monkeypatch.setattr(deadline, "CLOCK_FACTOR", 1)

    async def run() -> None:
        collector = Collector(1)
        async with pool_of([agent], collector, 1, deadline_ms=1_000, kills_max=2) as pool:
            pool.submit([job(agent, 0, b"l\0", fuel=2**62, output_bytes_max=0, memory_bytes=MIB)])
            await collector.wait()
            assert pool.statistics().kills == 2
        (error,) = collector.failures
        assert "where its fuel allows" in error.message

    asyncio.run(run())


def test_a_job_that_takes_workers_with_it_ends_the_pool(agent: Code, standing: None) -> None:
    """No fault of the agent, so the run can be resumed."""

    async def run() -> None:
        collector = Collector(30)
        jobs = [job(agent, number) for number in range(30)]
        jobs[10] = job(agent, 10, fuel=2**62)
        async with pool_of([agent], collector, 1, deadline_ms=300, kills_max=2) as pool:
            pool.submit(jobs)
            await collector.wait()
            (error,) = collector.failures
            assert isinstance(error, EnvironmentFailure)
            assert error.actual == 10
            assert "ended 2 workers" in error.message
            assert "deadline" in error.message
            assert pool.statistics().kills >= 2
            assert 10 not in collector.results
            pool.submit([job(agent, 99)])  # a pool that has given up takes no work, and says nothing more
        assert len(collector.failures) == 1

    asyncio.run(run())


def test_the_innocent_run_to_their_end_beside_a_killer(agent: Code, standing: None) -> None:
    """Whoever shares a worker with a job that kills it loses nothing, however often that happens."""

    async def run() -> None:
        collector = Collector(200)
        jobs = [job(agent, number) for number in range(200)]
        jobs[100] = job(agent, 100, fuel=2**62)
        async with pool_of([agent], collector, 1, deadline_ms=300, kills_max=3) as pool:
            pool.submit(jobs)
            await collector.wait()
        assert [error.actual for error in collector.failures] == [100]
        assert set(range(100)) <= set(collector.results)

    asyncio.run(run())


def test_large_messages_pass(agent: Code) -> None:
    large = b"c\0" + b"x" * 700_000

    async def run(transport: Transport) -> None:
        jobs = [job(agent, number, large + b"%d" % number) for number in range(20)]
        results = await play(agent, jobs, 2, transport=transport)
        assert all(results[number].body == jobs[number].input for number in range(20))

    for transport in TRANSPORTS:
        asyncio.run(run(transport))


def test_work_can_be_added_from_where_results_arrive(agent: Code) -> None:
    async def run() -> None:
        collector = Collector(1_000)
        async with pool_of([agent], collector, 2) as pool:
            take = collector.on_results

            def take_and_add(results: list[TurnResult]) -> None:
                take(results)
                number = max(collector.results) + 1
                if number < 1_000:
                    pool.submit([job(agent, n) for n in range(number, min(number + len(results), 1_000))])

            pool._on_results = take_and_add
            pool.submit([job(agent, 0)])
            async with asyncio.timeout(WAIT_S_MAX):
                while len(collector.results) < 1_000 and not collector.failures:
                    await asyncio.sleep(0)

    # one job at a time: numbers stay dense because every result asks for exactly one more
    asyncio.run(run())


memfd_only = pytest.mark.skipif(sys.platform != "linux", reason="other transports are waited for by a thread")


async def take_here(pool: Pool, until: Callable[[], bool]) -> int:
    """Take results without letting the event loop run; how many times there were some."""
    taken = 0
    end_s = time.monotonic() + WAIT_S_MAX
    while not until():
        assert time.monotonic() < end_s
        taken += pool.take_soon()
    return taken


@memfd_only
def test_results_of_little_work_are_taken_without_the_loop(agent: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "SOON_US", 1_000_000)  # however slow the machine is

    async def run() -> None:
        collector = Collector(1)
        async with pool_of([agent], collector, 1) as pool:
            await pool.wait_ready()
            assert not pool.take_soon()  # nobody has anything
            pool.submit([job(agent, 0)])
            await collector.wait()
            for number in range(1, 40, 2):
                pool.submit([job(agent, number), job(agent, number + 1)])
                taken = await take_here(pool, lambda last=number + 1: last in collector.results)  # type: ignore[misc]
                assert taken >= 1
            assert pool.statistics().executed == 41
            assert {result.body for result in collector.results.values()} == {b"c\0job %d" % n for n in range(41)}
        assert collector.failures == []

    asyncio.run(run())


@memfd_only
def test_what_may_take_long_and_what_is_much_is_left_to_the_loop(agent: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        collector = Collector(SOON_JOBS_MAX + 2)
        async with pool_of([agent], collector, 1) as pool:
            await pool.wait_ready()
            pool.submit([job(agent, 0)])
            assert not pool.take_soon()  # nobody knows how long it takes
            async with asyncio.timeout(WAIT_S_MAX):
                while 0 not in collector.results:
                    await asyncio.sleep(0)
            monkeypatch.setattr(worker_pool, "SOON_US", 1_000_000)
            pool.submit([job(agent, number) for number in range(1, SOON_JOBS_MAX + 2)])
            assert not pool.take_soon()
            await collector.wait()

    asyncio.run(run())


@memfd_only
@posix
def test_a_worker_that_is_killed_while_it_is_waited_for_is_replaced_by_the_loop(agent: Code) -> None:
    async def run() -> None:
        collector = Collector(2)
        async with pool_of([agent], collector, 1) as pool:
            pool.submit([job(agent, 0)])
            async with asyncio.timeout(WAIT_S_MAX):
                while 0 not in collector.results:
                    await asyncio.sleep(0)
            os.kill(pool.pids[0], signal.SIGSTOP)
            while Path(f"/proc/{pool.pids[0]}/stat").read_text().rpartition(")")[2].split()[0] != "T":
                await asyncio.sleep(0)
            pool.submit([job(agent, 1)])
            assert not pool.take_soon()
            os.kill(pool.pids[0], signal.SIGKILL)
            for _ in range(5):
                assert not pool.take_soon()
            await collector.wait()
            assert pool.statistics().deaths == 1
        assert collector.results[1].body == b"c\0job 1"

    asyncio.run(run())


def test_closing_leaves_no_process_and_no_result(agent: Code) -> None:
    async def run() -> list[int]:
        collector = Collector(10_000)
        pool = pool_of([agent], collector, 3)
        async with pool:
            await pool.wait_ready()
            pool.submit(mixed(agent, 10_000))
            pids = pool.pids
        count = len(collector.results)
        await pool.close()
        assert len(collector.results) == count
        assert pool.pids == []
        return pids

    pids = asyncio.run(run())
    assert len(pids) == 3
    assert not any(alive(pid) for pid in pids)


def test_closing_before_workers_are_ready_leaves_no_process(agent: Code) -> None:
    async def run() -> None:
        async with pool_of([agent], Collector(1), 2):
            pass

    asyncio.run(run())


def test_closing_ends_a_worker_that_computes(agent: Code) -> None:
    async def run() -> list[int]:
        collector = Collector(2)
        async with pool_of([agent], collector, 1) as pool:
            pool.submit([job(agent, 0)])
            async with asyncio.timeout(WAIT_S_MAX):
                while not collector.results:
                    await asyncio.sleep(0)
            pool.submit([job(agent, 1, b"l\0", fuel=2**62)])
            return pool.pids

    assert not any(alive(pid) for pid in asyncio.run(run()))


def test_misuse_is_said(agent: Code) -> None:
    async def run() -> None:
        async with pool_of([], Collector(1)) as pool:
            with pytest.raises(InvariantError):
                pool.submit([job(agent, 0)])
        for workers in (0, -1, 100_000):
            with pytest.raises(ValueError, match="workers"):
                pool_of([agent], Collector(1), workers)

    asyncio.run(run())


# Workers that are not what they should be.

LIES = ("twice", "foreign", "fuel", "negative", "large", "stdout", "unclassified", "class", "status", "garbage")


@pytest.fixture
def play_with(agent: Code, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Coroutine[Any, Any, TurnwiseError]]:
    """Plays one job with workers of a role, which cannot work; returns what the pool says in the end."""

    async def play_one(role: str, **settings: str) -> TurnwiseError:
        for name, value in settings.items():
            monkeypatch.setitem(worker_slot.WORKER_ENVIRONMENT, name, value)
        collector = Collector(1)
        async with pool_of([agent], collector, 1, kills_max=2) as pool:
            pool.submit([job(agent, 0)])
            await collector.wait()
        assert collector.results == {}
        return collector.failures[0]

    def play(role: str, **settings: str) -> Coroutine[Any, Any, TurnwiseError]:
        monkeypatch.setattr(worker_slot, "WORKER", "sandbox_child")
        environment = {"SANDBOX_ROLE": role, "PYTHONPATH": os.pathsep.join([CHILDREN, SOURCES]), **settings}
        return play_one(role, **environment)

    return play


@pytest.mark.parametrize("lie", LIES)
def test_a_worker_that_lies_is_not_believed(play_with: Any, lie: str) -> None:
    error = asyncio.run(play_with("lie", SANDBOX_LIE=lie))
    assert isinstance(error, EnvironmentFailure)
    assert "ended 2 workers" in error.message


@memfd_only
@pytest.mark.parametrize("lie", LIES)
def test_a_worker_that_lies_is_not_believed_outside_of_the_loop_either(
    play_with: Any, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job is waited for where it was handed out, as if it were known to take no time."""
    monkeypatch.setattr(worker_pool, "SOON_US", float("inf"))
    monkeypatch.setattr(worker_pool, "SOON_MS", 10_000)
    start_batch = WorkerSlot.start_batch

    def start_and_take(slot: WorkerSlot, batch: list[Item]) -> None:
        start_batch(slot, batch)
        assert not slot.take_soon(10_000)

    monkeypatch.setattr(WorkerSlot, "start_batch", start_and_take)
    error = asyncio.run(play_with("lie", SANDBOX_LIE=lie))
    assert isinstance(error, EnvironmentFailure)
    assert "ended 2 workers" in error.message
    assert "ended with status" not in error.message  # what is wrong is said, not how the worker ended


def test_workers_that_cannot_begin_end_the_pool_with_their_last_words(play_with: Any) -> None:
    error = asyncio.run(play_with("die"))
    assert isinstance(error, EnvironmentFailure)
    assert "status 7" in error.message
    assert "the last words" in error.message


def test_a_pool_that_has_not_begun_has_done_nothing() -> None:
    pool = Pool([], workers=2, on_results=print, on_failure=print)
    assert pool.statistics() == PoolStatistics(2, 0, 0, 0, 0, 0, 0, 0)
    assert pool.jobs == [None, None]
    assert pool.take_soon() is False
    for workers in (0, worker_pool.WORKERS_MAX + 1):
        with pytest.raises(ValueError, match=f"workers must be between 1 and {worker_pool.WORKERS_MAX}, not {workers}"):
            Pool([], workers=workers, on_results=print, on_failure=print)


def test_who_waits_for_workers_hears_of_the_first_failure_and_goes_on() -> None:
    failures: list[TurnwiseError] = []

    async def main() -> None:
        pool = Pool([], workers=1, on_results=print, on_failure=failures.append)
        waits = asyncio.create_task(pool.wait_ready())
        for what in ("first", "second"):
            pool.slot_failed(EnvironmentFailure(what))
        await asyncio.wait_for(waits, WAIT_S_MAX)
        assert pool.take_soon() is False

    asyncio.run(main())
    assert [error.message for error in failures] == ["first"]
