from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from turnwise.errors import InvariantError
from turnwise.inference.engine.scheduler import (
    WAIT_STEPS_MAX,
    BeginSequence,
    DecodeStep,
    ExtendSequence,
    PrefillChunk,
    Scheduler,
    Work,
    chunk_end,
)
from turnwise.inference.plans.batching import PREFILL_TOKENS_MAX_EQUAL
from turnwise.inference.plans.kv_sizes import row_positions


def works(scheduler: Scheduler, count: int) -> list[Work | None]:
    """The next works, without those that begin a sequence."""
    found: list[Work | None] = []
    while len(found) < count:
        work = scheduler.next()
        if not isinstance(work, BeginSequence):
            found.append(work)
    return found


def test_one_sequence_is_prefilled_and_decodes_until_it_is_removed() -> None:
    scheduler = Scheduler(rows_max=1, chunk_tokens=4)
    scheduler.add(7, 10, 30)
    assert scheduler.next() == BeginSequence(7, row_positions(30))
    assert works(scheduler, 5) == [
        PrefillChunk(7, 0, 4, last=False),
        PrefillChunk(7, 4, 8, last=False),
        PrefillChunk(7, 8, 10, last=True),
        DecodeStep((7,)),
        DecodeStep((7,)),
    ]
    scheduler.remove(7)
    assert scheduler.next() is None


def test_order_is_by_number_and_not_by_arrival() -> None:
    scheduler = Scheduler(rows_max=1, chunk_tokens=None)
    served = []
    for number in (5, 3, 9, 4):
        scheduler.add(number, 2)
    while (work := scheduler.next()) is not None:
        if isinstance(work, BeginSequence):
            continue
        assert isinstance(work, PrefillChunk)
        served.append(work.number)
        if work.number == 3:
            scheduler.add(1, 2)
        scheduler.remove(work.number)
    assert served == [3, 1, 4, 5, 9]


def test_what_runs_is_not_put_aside_for_a_lower_number() -> None:
    scheduler = Scheduler(rows_max=1, chunk_tokens=None)
    scheduler.add(5, 2)
    works(scheduler, 1)
    scheduler.add(1, 2)
    assert scheduler.next() == DecodeStep((5,))
    assert (scheduler.running, scheduler.waiting) == (1, 1)


def test_several_run_together_and_others_join_late() -> None:
    scheduler = Scheduler(rows_max=2, chunk_tokens=None)
    for number in (1, 2, 3):
        scheduler.add(number, 4)
    assert works(scheduler, 3) == [
        PrefillChunk(1, 0, 4, last=True),
        PrefillChunk(2, 0, 4, last=True),
        DecodeStep((1, 2)),
    ]
    scheduler.remove(1)
    assert works(scheduler, 2) == [PrefillChunk(3, 0, 4, last=True), DecodeStep((2, 3))]


def test_a_long_prompt_does_not_keep_the_others_waiting() -> None:
    scheduler = Scheduler(rows_max=3, chunk_tokens=10, prefill_tokens_max=20)
    scheduler.add(1, 5)
    assert works(scheduler, 2) == [PrefillChunk(1, 0, 5, last=True), DecodeStep((1,))]
    scheduler.add(2, 45)
    assert works(scheduler, 4) == [
        PrefillChunk(2, 0, 10, last=False),
        PrefillChunk(2, 10, 20, last=False),
        DecodeStep((1,)),
        PrefillChunk(2, 20, 30, last=False),
    ]


def test_what_is_known_is_run_before_the_next_step() -> None:
    scheduler = Scheduler(rows_max=3, chunk_tokens=10, prefill_tokens_max=20)
    for number in (1, 2, 3):
        scheduler.add(number, 5)
    assert works(scheduler, 4)[-1] == DecodeStep((1, 2, 3))
    scheduler.extend(3, 8)
    scheduler.extend(1, 4)
    assert works(scheduler, 3) == [ExtendSequence(1), ExtendSequence(3), DecodeStep((1, 2, 3))]


def test_who_always_knows_more_does_not_keep_the_others_waiting() -> None:
    scheduler = Scheduler(rows_max=2, chunk_tokens=10, prefill_tokens_max=20)
    scheduler.add(1, 5)
    scheduler.add(2, 5)
    scheduler.add(3, 5)
    assert works(scheduler, 3)[-1] == DecodeStep((1, 2))
    found: list[Work | None] = []
    for _ in range(6):
        if not found or found[-1] == ExtendSequence(2):
            scheduler.extend(2, 10)
        found += works(scheduler, 1)
    assert found == [
        ExtendSequence(2),
        ExtendSequence(2),
        DecodeStep((1,)),
        ExtendSequence(2),
        ExtendSequence(2),
        DecodeStep((1,)),
    ]
    scheduler.remove(1)
    assert works(scheduler, 3) == [ExtendSequence(2), PrefillChunk(3, 0, 5, last=True), DecodeStep((2, 3))]


def test_only_what_decodes_is_extended() -> None:
    scheduler = Scheduler(rows_max=2, chunk_tokens=10)
    scheduler.add(1, 15)
    for _ in range(3):
        with pytest.raises(InvariantError):
            scheduler.extend(1, 2)
        scheduler.next()
    with pytest.raises(InvariantError):
        scheduler.extend(1, 1)
    scheduler.extend(1, 2)
    with pytest.raises(InvariantError):
        scheduler.extend(1, 2)
    scheduler.remove(1)
    assert scheduler.next() is None


def test_what_is_reused_is_not_run() -> None:
    scheduler = Scheduler(rows_max=1, chunk_tokens=8)
    scheduler.add(1, 20)
    scheduler.next()
    scheduler.reused(1, 18)
    assert scheduler.next() == PrefillChunk(1, 18, 20, last=True)


def test_a_tail_of_one_token_cannot_be_left_by_reuse() -> None:
    scheduler = Scheduler(rows_max=1, chunk_tokens=8)
    scheduler.add(1, 20)
    with pytest.raises(InvariantError):
        scheduler.reused(1, 4)
    scheduler.next()
    for tokens in (0, 19, 20):
        with pytest.raises(InvariantError):
            scheduler.reused(1, tokens)


def test_memory_is_a_bound_and_nobody_overtakes() -> None:
    scheduler = Scheduler(rows_max=9, chunk_tokens=None, positions_max=512, rows_spare=1)
    scheduler.add(1, 10, 64)
    scheduler.add(2, 10, 200)
    scheduler.add(3, 10, 10)
    assert works(scheduler, 2) == [PrefillChunk(1, 0, 10, last=True), DecodeStep((1,))]
    assert (scheduler.running, scheduler.waiting) == (1, 2)
    scheduler.remove(1)
    assert scheduler.next() == BeginSequence(2, 256)
    assert works(scheduler, 2) == [PrefillChunk(2, 0, 10, last=True), DecodeStep((2,))]


def test_where_only_equal_lengths_go_together_the_shortest_go_first() -> None:
    scheduler = Scheduler(rows_max=4, chunk_tokens=None, equal=True)
    for number, prompt in ((1, 7), (2, 5), (3, 5), (4, 6)):
        scheduler.add(number, prompt, 20)
    assert [type(work) for work in works(scheduler, 4)] == [PrefillChunk] * 4
    assert works(scheduler, 4) == [
        DecodeStep((2, 3)),
        DecodeStep((2, 3, 4)),
        DecodeStep((1, 2, 3, 4)),
        DecodeStep((1, 2, 3, 4)),
    ]
    scheduler.add(5, 8, 20)
    assert works(scheduler, 1) == [DecodeStep((1, 2, 3, 4))], "all rows are taken"
    scheduler.remove(3)
    assert works(scheduler, 4) == [
        PrefillChunk(5, 0, 8, last=True),
        DecodeStep((5,)),
        DecodeStep((5,)),
        DecodeStep((1, 2, 4, 5)),
    ]


def test_what_a_grammar_forces_makes_a_sequence_longer() -> None:
    scheduler = Scheduler(rows_max=2, chunk_tokens=8, equal=True)
    scheduler.add(1, 4, 20)
    scheduler.add(2, 4, 20)
    works(scheduler, 2)
    scheduler.extend(1, 2)
    assert works(scheduler, 4) == [ExtendSequence(1), DecodeStep((2,)), DecodeStep((2,)), DecodeStep((1, 2))]


def test_nobody_waits_for_ever_for_the_shorter_ones() -> None:
    scheduler = Scheduler(rows_max=2, chunk_tokens=None, prefill_tokens_max=PREFILL_TOKENS_MAX_EQUAL, equal=True)
    scheduler.add(1, 5000, 6000)
    scheduler.add(2, 2, 6000)
    works(scheduler, 2)
    found = works(scheduler, 2 * WAIT_STEPS_MAX + 2)
    assert found == [*[DecodeStep((2,))] * WAIT_STEPS_MAX, DecodeStep((1,))] * 2


def test_what_cannot_be() -> None:
    scheduler = Scheduler(rows_max=1, chunk_tokens=None)
    scheduler.add(1, 2)
    for number, tokens in ((1, 2), (2, 0)):
        with pytest.raises(InvariantError):
            scheduler.add(number, tokens)
    with pytest.raises(InvariantError):
        scheduler.add(3, 5, 4)
    with pytest.raises(InvariantError):
        scheduler.remove(2)
    for options in ({"rows_max": 1, "chunk_tokens": 2}, {"rows_max": 0, "chunk_tokens": None}):
        with pytest.raises(InvariantError):
            Scheduler(**options)  # type: ignore[arg-type]


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


@dataclass
class Modelled:
    prompt: int
    capacity: int
    wanted: int
    done: int = 0
    tokens: int = 0


class SchedulerMachine(RuleBasedStateMachine):
    """What the engine may do to a scheduler, in any order, and what must hold all the time."""

    ROWS, SPARE, POSITIONS, CHUNK, PREFILL = 4, 1, 1024, 16, 40

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(
            rows_max=self.ROWS,
            rows_spare=self.SPARE,
            positions_max=self.POSITIONS,
            chunk_tokens=self.CHUNK,
            prefill_tokens_max=self.PREFILL,
        )
        self.waiting: dict[int, Modelled] = {}
        self.running: dict[int, Modelled] = {}
        self.known: dict[int, int] = {}
        self.prefilled = 0

    @rule(number=st.integers(0, 60), prompt=st.integers(1, 100), more=st.integers(0, 300), tokens=st.integers(1, 5))
    def add(self, number: int, prompt: int, more: int, tokens: int) -> None:
        if number not in self.waiting | self.running:
            self.scheduler.add(number, prompt, prompt + more)
            self.waiting[number] = Modelled(prompt, prompt + more, tokens)

    @precondition(lambda self: self.waiting or self.running)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.waiting | self.running)))
        self.scheduler.remove(number)
        self.waiting.pop(number, None)
        self.running.pop(number, None)
        self.known.pop(number, None)

    @rule(share=st.sampled_from([0, 0, 0.5, 1]), known=st.sampled_from([1, 1, 2, 30]))
    def step(self, share: float, known: int = 1) -> None:
        work = self.scheduler.next()
        if work is None:
            self.prefilled = 0
            assert not self.waiting
            assert not self.running
        elif isinstance(work, BeginSequence):
            self.begin(work, share)
        elif isinstance(work, PrefillChunk):
            self.prefill(work)
        elif isinstance(work, ExtendSequence):
            self.extend(work, known)
        else:
            self.decode(work, known)

    def begin(self, work: BeginSequence, share: float) -> None:
        assert work.number == min(self.waiting)
        self.running[work.number] = entry = self.waiting.pop(work.number)
        assert work.room >= max(other.capacity for other in self.running.values())
        rows = len(self.running)
        assert rows <= self.ROWS
        assert (rows + self.SPARE) * work.room <= self.POSITIONS or rows == 1
        if (reused := int(share * (entry.prompt - 2))) > 0:
            self.scheduler.reused(work.number, reused)
            entry.done = reused

    def prefill(self, work: PrefillChunk) -> None:
        entry = self.running[work.number]
        size = work.stop - work.start
        assert work.start == entry.done
        assert size <= self.CHUNK
        assert size >= 2 or entry.prompt == 1
        assert work.last == (work.stop == entry.prompt)
        entry.done = work.stop
        self.prefilled += size
        assert not set(self.ready()) - {work.number} or self.prefilled < self.PREFILL + self.CHUNK

    def extend(self, work: ExtendSequence, known: int) -> None:
        assert work.number == min(self.known)
        if self.prefilled >= self.PREFILL:
            assert not self.ready()
            self.prefilled = 0
        self.prefilled += self.known.pop(work.number)
        self.accept(work.number, known)

    def decode(self, work: DecodeStep, known: int) -> None:
        assert not self.known or self.prefilled >= self.PREFILL
        self.prefilled = 0
        assert list(work.numbers) == self.ready()
        for number in work.numbers:
            self.accept(number, known)

    def ready(self) -> list[int]:
        """Who waits for a step."""
        return sorted(
            number for number, entry in self.running.items() if entry.done == entry.prompt and number not in self.known
        )

    def accept(self, number: int, known: int) -> None:
        entry = self.running[number]
        entry.tokens += 1
        if entry.tokens == entry.wanted:
            self.scheduler.remove(number)
            del self.running[number]
        elif known > 1:
            self.scheduler.extend(number, known)
            self.known[number] = known

    @invariant()
    def counts(self) -> None:
        assert (self.scheduler.waiting, self.scheduler.running) == (len(self.waiting), len(self.running))

    def teardown(self) -> None:
        """Every sequence ends."""
        bound = sum(entry.prompt + entry.wanted + 1 for entry in (self.waiting | self.running).values())
        for _ in range(bound):
            self.step(0)
        assert not self.waiting
        assert not self.running
        assert self.scheduler.next() is None


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
