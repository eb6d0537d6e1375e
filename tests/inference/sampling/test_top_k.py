from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.inference.sampling.top_k import GROUP, top_k_ids


@given(st.integers(0, 2**32), st.integers(2, 5_000), st.integers(1, 3_000), st.sampled_from([0.1, 1, 30]))
def test_it_is_what_sorting_gives(seed: int, length: int, count: int, spread: float) -> None:
    count = min(count, length - 1)
    numbers = np.round(np.random.default_rng(seed).standard_normal(length) * spread).astype(np.float32)
    numbers[:: seed % 7 + 1] = -np.inf
    expected = np.sort(np.argsort(-numbers, kind="stable")[:count])
    assert top_k_ids(numbers, count).tolist() == expected.tolist()


@pytest.mark.parametrize("place", [0, GROUP * 10 - 1, GROUP * 10, GROUP * 10 + 5])
def test_what_is_behind_the_last_group_counts(place: int) -> None:
    numbers = np.zeros(GROUP * 10 + 6, np.float32)
    numbers[place] = 1
    assert top_k_ids(numbers, 1).tolist() == [place]
    assert top_k_ids(numbers, 3).tolist() == sorted([place, *[other for other in range(3) if other != place][:2]])
