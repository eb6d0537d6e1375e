from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from turnwise.inference.sampling import top_p
from turnwise.inference.sampling.top_p import MANY, top_p_ids


def defined(weights: NDArray[np.float64], share: float) -> NDArray[np.intp]:
    order = np.argsort(-weights, kind="stable")
    count = int(np.searchsorted(np.cumsum(weights[order]), share * np.cumsum(weights)[-1], side="left"))
    return np.sort(order[: count + 1])


@given(
    st.integers(0, 2**32),
    st.integers(1, 8_000),
    st.floats(0.001, 0.99999),
    st.sampled_from([0.0, 0.01, 1.0, 10.0, 200.0]),
    st.booleans(),
)
def test_it_is_what_sorting_gives(seed: int, length: int, share: float, spread: float, ties: bool) -> None:
    numbers = np.random.default_rng(seed).standard_normal(length) * spread
    if ties:
        numbers = np.round(numbers, 1)
    weights = np.exp(numbers - numbers.max())
    assert top_p_ids(weights, share).tolist() == defined(weights, share).tolist()


@pytest.mark.parametrize("length", [8, MANY * 4])
def test_of_equal_weights_the_first_are_kept(length: int) -> None:
    """The sum reaches the share exactly, which blocks and classes cannot tell."""
    weights = np.full(length, 0.5)
    assert top_p_ids(weights, 0.25).tolist() == list(range(length // 4))


def test_classes_are_trusted_where_they_are_far_from_a_border() -> None:
    weights = np.random.default_rng(1).random(20_000)
    whole = weights.sum()
    for share in (0.1, 0.5, 0.9):
        kept = top_p._by_classes(weights, (share * whole * (1 - 1e-12), share * whole * (1 + 1e-12)))
        assert kept is not None
        assert np.flatnonzero(kept).tolist() == defined(weights, share).tolist()
