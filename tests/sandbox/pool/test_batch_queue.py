"""Batches: every job once, in order, large where jobs are cheap and small where they are not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from turnwise.sandbox.execute.jobs import TurnJob
from turnwise.sandbox.pool.batch_queue import BATCH_BYTES_MAX, BATCH_JOBS_MAX, SMALL_US, BatchQueue


def job(number: int, size: int = 2) -> TurnJob:
    return TurnJob(number, "code", b"x" * size, (), 1, 1, 1)


def ids(schedule: BatchQueue, *, idle: bool = True) -> list[int]:
    return [item.id for item, _ in schedule.next_batch(idle=idle)]


def test_code_that_never_ran_begins_with_one_job() -> None:
    schedule = BatchQueue(1)
    for number in range(100):
        schedule.add([(job(number), 0)])
    assert ids(schedule) == [0]
    schedule.learn(0, 10)
    assert ids(schedule) == list(range(1, 51))  # half of what is left: the other batch gets the rest


def test_dear_jobs_make_small_batches() -> None:
    schedule = BatchQueue(1)
    schedule.learn(0, 2_000)
    for number in range(100):
        schedule.add([(job(number), 0)])
    assert len(ids(schedule)) == 5


def test_large_jobs_make_small_batches() -> None:
    schedule = BatchQueue(1)
    schedule.learn(0, 1)
    for number in range(10):
        schedule.add([(job(number, BATCH_BYTES_MAX // 2), 0)])
    assert len(ids(schedule)) == 2
    schedule.add([(job(99, 2 * BATCH_BYTES_MAX), 0)])
    assert all(ids(schedule) for _ in range(5))


def test_a_batch_has_four_mebibytes_at_most() -> None:
    schedule = BatchQueue(1)
    schedule.learn(0, 1)
    for number in range(20):
        schedule.add([(job(number, 1_600 * 1024), 0)])
    assert len(ids(schedule)) == 2


def test_a_cost_is_a_mean_in_which_the_latest_counts_an_eighth() -> None:
    schedule = BatchQueue(1)
    schedule.learn(0, 1_000)
    schedule.learn(0, 9_000)
    for number in range(100):
        schedule.add([(job(number), 0)])
    assert len(ids(schedule)) == 5  # of 2 ms each, in 10 ms


def test_few_jobs_are_shared_among_many_workers() -> None:
    schedule = BatchQueue(4)
    schedule.learn(0, SMALL_US)
    for number in range(8):
        schedule.add([(job(number), 0)])
    assert len(ids(schedule)) == 1


def test_what_is_done_at_once_is_not_shared() -> None:
    """Handing over takes longer than the jobs: a small round is one batch, whatever the number of workers."""
    schedule = BatchQueue(4)
    schedule.learn(0, 1)
    schedule.learn(1, SMALL_US)
    for number in range(8):
        schedule.add([(job(number), 0)])
    schedule.add([(job(8), 1)])
    schedule.add([(job(9), 1)])
    assert ids(schedule) == list(range(9))
    assert ids(schedule) == [9]


def test_a_job_that_runs_alone_comes_first_and_only_to_who_has_nothing() -> None:
    schedule = BatchQueue(1)
    schedule.learn(0, 1)
    schedule.add([(job(1), 0)])
    schedule.add_alone(job(2), 0)
    assert ids(schedule, idle=False) == []
    assert ids(schedule) == [2]
    assert ids(schedule, idle=False) == [1]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=600),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50_000)), max_size=20),
    st.integers(1, 8),
)
def test_every_job_is_given_out_once(jobs: list[tuple[int, bool]], costs: list[tuple[int, int]], workers: int) -> None:
    schedule = BatchQueue(workers)
    for index, took_us in costs:
        schedule.learn(index, took_us)
    for number, (index, alone) in enumerate(jobs):
        if alone:
            schedule.add_alone(job(number), index)
        else:
            schedule.add([(job(number), index)])
    given_out = []
    while schedule.queued:
        batch = ids(schedule)
        assert 1 <= len(batch) <= BATCH_JOBS_MAX
        given_out += batch
    assert ids(schedule) == []
    assert sorted(given_out) == list(range(len(jobs)))
    waiting = [number for number, (_, alone) in enumerate(jobs) if not alone]
    assert [number for number in given_out if not jobs[number][1]] == waiting
