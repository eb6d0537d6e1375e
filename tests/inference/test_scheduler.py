from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.errors import InvariantError
from turnwise.inference.scheduler import Decode, Prefill, Scheduler, Work, chunk_end


def works(scheduler: Scheduler, count: int) -> list[Work | None]:
    return [scheduler.next() for _ in range(count)]


def test_one_sequence_is_prefilled_and_decodes_until_it_is_removed() -> None:
    scheduler = Scheduler(running_max=1, chunk_tokens=4)
    scheduler.add(7, 10)
    assert works(scheduler, 5) == [
        Prefill(7, 0, 4, last=False),
        Prefill(7, 4, 8, last=False),
        Prefill(7, 8, 10, last=True),
        Decode((7,)),
        Decode((7,)),
    ]
    scheduler.remove(7)
    assert scheduler.next() is None


def test_order_is_by_number_and_not_by_arrival() -> None:
    scheduler = Scheduler(running_max=1, chunk_tokens=None)
    served = []
    for number in (5, 3, 9, 4):
        scheduler.add(number, 2)
    while (work := scheduler.next()) is not None:
        assert isinstance(work, Prefill)
        served.append(work.number)
        if work.number == 3:
            scheduler.add(1, 2)
        scheduler.remove(work.number)
    assert served == [3, 1, 4, 5, 9]


def test_what_runs_is_not_put_aside_for_a_lower_number() -> None:
    scheduler = Scheduler(running_max=1, chunk_tokens=None)
    scheduler.add(5, 2)
    scheduler.next()
    scheduler.add(1, 2)
    assert scheduler.next() == Decode((5,))
    assert (scheduler.running, scheduler.waiting) == (1, 1)


def test_several_run_together() -> None:
    scheduler = Scheduler(running_max=2, chunk_tokens=None)
    for number in (1, 2, 3):
        scheduler.add(number, 4)
    assert works(scheduler, 3) == [Prefill(1, 0, 4, last=True), Prefill(2, 0, 4, last=True), Decode((1, 2))]
    scheduler.remove(1)
    assert works(scheduler, 2) == [Prefill(3, 0, 4, last=True), Decode((2, 3))]


def test_a_waiting_sequence_can_be_removed() -> None:
    scheduler = Scheduler(running_max=1, chunk_tokens=None)
    scheduler.add(1, 2)
    scheduler.add(2, 2)
    scheduler.remove(2)
    assert (scheduler.running, scheduler.waiting) == (0, 1)


def test_what_cannot_be() -> None:
    scheduler = Scheduler(running_max=1, chunk_tokens=None)
    scheduler.add(1, 2)
    for number, tokens in ((1, 2), (2, 0)):
        with pytest.raises(InvariantError):
            scheduler.add(number, tokens)
    with pytest.raises(InvariantError):
        scheduler.remove(2)
    with pytest.raises(InvariantError):
        Scheduler(running_max=1, chunk_tokens=2)


@given(st.integers(1, 2000), st.integers(3, 300))
def test_no_prompt_is_left_with_a_tail_of_one_token(count: int, chunk: int) -> None:
    start = 0
    sizes = []
    while start < count:
        stop = chunk_end(start, count, chunk)
        sizes.append(stop - start)
        start = stop
    assert sum(sizes) == count
    assert max(sizes) <= chunk
    assert min(sizes) >= 2 or count == 1
    assert chunk_end(0, count, None) == count
