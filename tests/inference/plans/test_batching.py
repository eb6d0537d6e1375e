from __future__ import annotations

import pytest

from turnwise.inference.plans.batching import Batching, for_cache, is_equal, is_even, prefill_tokens_max


@pytest.mark.parametrize(
    ("batching", "grown"),
    [("free", "equal"), ("even", "equal-even"), ("equal", "equal"), ("equal-even", "equal-even"), ("single", "single")],
)
def test_rows_of_a_cache_that_grows_are_equally_long(batching: Batching, grown: Batching) -> None:
    assert for_cache(batching, growing=True) == grown
    assert for_cache(batching, growing=False) == batching
    assert is_even(grown) == is_even(batching)


def test_prompts_go_first_where_only_equally_long_sequences_share_a_step() -> None:
    batchings: tuple[Batching, ...] = ("free", "even", "equal", "equal-even", "single")
    first = {batching for batching in batchings if prefill_tokens_max(batching) > prefill_tokens_max("free")}
    assert first == {batching for batching in batchings if is_equal(batching)} == {"equal", "equal-even"}
