from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from turnwise.inference.sampling import running_sum
from turnwise.inference.sampling.running_sum import BLOCK, FEW, first_beyond


def defined(weights: NDArray[np.float64], share: float) -> int:
    running = np.cumsum(weights)
    return min(int(np.searchsorted(running, share * running[-1], side="right")), len(weights) - 1)


@given(
    st.integers(0, 2**32), st.integers(1, 5_000), st.floats(0, 1, exclude_max=True), st.sampled_from([0, 1, 10, 300])
)
def test_it_is_what_the_running_sum_gives(seed: int, length: int, share: float, spread: float) -> None:
    numbers = np.random.default_rng(seed).standard_normal(length) * spread
    weights = np.exp(numbers - numbers.max())
    assert first_beyond(weights, share) == defined(weights, share)


@pytest.mark.parametrize("length", [FEW, FEW + 1, FEW + BLOCK - 1, FEW + BLOCK, 10_000])
def test_borders(length: int) -> None:
    """Equal weights, so that many shares lie exactly on a running sum."""
    weights = np.full(length, 0.1)
    for place in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, FEW - 1, length - 2, length - 1):
        for share in (place / length, np.nextafter(place / length, 0), np.nextafter(place / length, 1)):
            assert first_beyond(weights, float(share)) == defined(weights, float(share))


def test_one_weight_among_nothing() -> None:
    for place in (0, 300, 5_999):
        weights = np.zeros(6_000)
        weights[place] = 1e-300
        assert {first_beyond(weights, share) for share in (0.0, 0.5, 1 - 2**-53)} == {place}


def test_blocks_are_trusted_where_they_are_far_from_a_border() -> None:
    weights = np.random.default_rng(1).random(50_000)
    found = [running_sum._by_blocks(weights, share) for share in np.linspace(0.001, 0.999, 200)]
    assert None not in found
    assert running_sum._by_blocks(np.full(4096, 0.25), 0.5) is None
