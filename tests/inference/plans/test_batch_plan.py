from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.inference.engine.prefix_index import PrefixIndex
from turnwise.inference.engine.scheduler import BeginSequence, DecodeStep, PrefillChunk, Scheduler, Work
from turnwise.inference.plans.batch_plan import BatchPlan, read_plan
from turnwise.inference.plans.batching import Batching, is_equal
from turnwise.inference.plans.kv_sizes import BLOCK_TOKENS

MACHINE = BatchPlan(
    batching="free",
    blocks=400,
    chunk_tokens=16,
    context_length=512,
    positions_max=100_000,
    prefill_tokens_max=40,
    rows_max=32,
    threads=2,
)


def works(plan: BatchPlan, lengths: Sequence[tuple[int, int]]) -> list[Work]:
    """All that a scheduler says for sequences that use up what they may."""
    scheduler = Scheduler(
        rows_max=plan.rows_max,
        rows_spare=plan.rows_spare,
        positions_max=plan.positions_max,
        room_max=plan.context_length,
        chunk_tokens=plan.chunk_tokens,
        prefill_tokens_max=plan.prefill_tokens_max,
        equal=is_equal(plan.batching),
    )
    left = {}
    for number, (prompt, capacity) in enumerate(lengths):
        scheduler.add(number, prompt, capacity)
        left[number] = capacity - prompt
    found: list[Work] = []
    while (work := scheduler.next()) is not None:
        found.append(work)
        ran: Sequence[int] = ()
        if isinstance(work, PrefillChunk) and work.last:
            ran = [work.number]
        elif isinstance(work, DecodeStep):
            ran = work.numbers
        else:
            assert isinstance(work, BeginSequence | PrefillChunk)
        for number in ran:
            left[number] -= 1
            if left[number] <= 0:
                scheduler.remove(number)
    return found


sequences = st.lists(
    st.tuples(st.integers(2, 120), st.integers(1, 60)).map(lambda two: (two[0], sum(two))), min_size=1, max_size=12
)


@given(sequences, st.integers(1, 14), st.integers(600, 4000), st.sampled_from(get_args(Batching)))
def test_what_a_wave_needs_makes_the_steps_that_more_would_make(
    lengths: list[tuple[int, int]], rows_max: int, positions_max: int, batching: Batching
) -> None:
    machine = replace(MACHINE, rows_max=rows_max, positions_max=positions_max, batching=batching)
    plan = machine.for_wave(lengths)
    assert works(plan, lengths) == works(machine, lengths)
    assert plan.problem(machine) is None
    assert plan.for_wave(lengths) == plan
    assert plan.rows_max <= len(lengths)
    roomy = replace(machine, rows_max=32, positions_max=10**9)
    assert (works(roomy, lengths) == works(machine, lengths)) >= (roomy.for_wave(lengths) == plan)


@given(st.lists(st.lists(st.integers(0, 1), min_size=2, max_size=200), min_size=1, max_size=6), st.integers(0, 12))
def test_what_a_wave_keeps_is_what_more_blocks_would_keep(prompts: list[list[int]], blocks: int) -> None:
    lengths = [(len(prompt), len(prompt) + 1) for prompt in prompts]
    machine = replace(MACHINE, blocks=blocks)
    small, large = (PrefixIndex(plan.blocks) for plan in (machine.for_wave(lengths), machine))
    for prompt in prompts:
        assert small.find(prompt, len(prompt) - 2) == large.find(prompt, len(prompt) - 2)
        assert small.insert(prompt) == large.insert(prompt)
    assert machine.for_wave(lengths).blocks <= sum(len(prompt) // BLOCK_TOKENS for prompt in prompts)


def test_waves_have_as_much_on_every_machine_that_is_not_small() -> None:
    large, larger = (replace(MACHINE, positions_max=10**n, blocks=10 ** (n - 1)) for n in (5, 9))
    assert large.for_waves() == larger.for_waves() == replace(large, positions_max=32_768, blocks=1_024)
    assert replace(MACHINE, positions_max=600, blocks=3).for_waves().positions_max == 600
    long = replace(larger, context_length=50_000, batching="even").for_waves()
    assert long.positions_max == 2 * 50_048, "one sequence of the whole context always fits"


def test_a_wave_asks_for_no_more_memory_than_it_uses() -> None:
    plan = MACHINE.for_wave([(40, 60), (70, 100), (33, 50)])
    assert (plan.rows_max, plan.positions_max, plan.blocks) == (3, 3 * 128, 1 + 2 + 1)
    assert replace(MACHINE, batching="even").for_wave([(40, 60)]).positions_max == 2 * 64
    assert MACHINE.for_wave([]).rows_max == 1
    assert MACHINE.for_wave([(40, 60)] * 100).rows_max == 32


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"rows_max": 40, "blocks": 500, "positions_max": 200_000}, None),
        ({"context_length": 64}, None),
        ({"threads": 1}, "it ran on 2 threads, and here the model runs on 1"),
        ({"batching": "even"}, "its batches were 'free', and here they are 'even'"),
        ({"chunk_tokens": None}, "its prompts ran in chunks, and here they run whole"),
        ({"rows_max": 31}, "it needs 32 rows, and here is memory for 31"),
        ({"positions_max": 99_999}, "it needs 100000 positions of KV cache, and here is memory for 99999"),
        ({"blocks": 0}, "it needs 400 blocks of kept prompts, and here is memory for 0"),
    ],
)
def test_a_machine_that_cannot_run_a_plan_is_told_why(changes: dict[str, object], problem: str | None) -> None:
    assert MACHINE.problem(replace(MACHINE, **changes)) == problem  # type: ignore[arg-type]


def test_the_text_of_a_plan() -> None:
    assert MACHINE.text() == (
        '{"batching":"free","blocks":400,"chunk_tokens":16,"context_length":512,"positions_max":100000,'
        '"prefill_tokens_max":40,"rows_max":32,"threads":2}'
    )
    assert read_plan(MACHINE.text()) == MACHINE
    whole = replace(MACHINE, chunk_tokens=None)
    assert read_plan(whole.text()) == whole


@pytest.mark.parametrize("key", json.loads(MACHINE.text()))
@pytest.mark.parametrize("value", [-1, 1.5, "x", True, [], "[" * 10_000])
def test_what_is_no_plan_is_refused(key: str, value: object) -> None:
    plan = json.loads(MACHINE.text()) | {key: value}
    with pytest.raises(ValueError, match="not a batch plan"):
        read_plan(json.dumps(plan))


@pytest.mark.parametrize("text", ["", "{}", "7", "[" * 100_000, '{"chunk_tokens":2}'])
def test_what_is_nothing_at_all_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a batch plan"):
        read_plan(text)
