"""The distance of a token from a choice: none is missed that could be chosen, and those of another chance are far."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from turnwise.inference.requests.generate_request import Sampling
from turnwise.inference.sampling.choose import choose
from turnwise.inference.sampling.nearness import distance

SAMPLINGS = [
    Sampling(),
    Sampling(temperature=1.0),
    Sampling(temperature=0.7, top_k=5),
    Sampling(temperature=1.3, top_p=0.8),
    Sampling(temperature=0.9, min_p=0.05),
    Sampling(temperature=0.8, top_k=20, top_p=0.9, min_p=0.02),
    Sampling(temperature=1.0, top_k=1),
]
STREAM = bytes(range(32))


def cases(count: int) -> Any:
    chance = np.random.default_rng(7)
    for index in range(count):
        logits = chance.normal(0, 3, 60).astype(np.float32)
        allowed = chance.random(60) < 0.5 if index % 3 == 0 else None
        if allowed is not None:
            allowed[0] = True
        yield index, logits, allowed, chance


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_what_is_chosen_is_no_distance_away(sampling: Sampling) -> None:
    for index, logits, allowed, _ in cases(60):
        token = choose(logits, sampling, STREAM, index, allowed)
        assert distance(logits, token, sampling, STREAM, index, 1e-6, allowed) is not None


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_what_changed_logits_choose_is_not_further_than_the_change(sampling: Sampling) -> None:
    others = 0
    for index, logits, allowed, chance in cases(150):
        change = float(chance.choice([0.1, 0.5, 1.5]))
        token = choose(logits + chance.uniform(-change, change, 60), sampling, STREAM, index, allowed)
        others += token != choose(logits, sampling, STREAM, index, allowed)
        found = distance(logits, token, sampling, STREAM, index, change * 1.0001, allowed)
        assert found is not None
        assert found <= change * 1.0001
    assert others > 5


@pytest.mark.parametrize("sampling", SAMPLINGS[1:-1], ids=str)
def test_what_another_chance_chooses_is_far_away(sampling: Sampling) -> None:
    seen = far = 0
    for index, logits, allowed, _ in cases(100):
        token = choose(logits, sampling, bytes(32), index, allowed)
        if token != choose(logits, sampling, STREAM, index, allowed):
            seen += 1
            far += distance(logits, token, sampling, STREAM, index, 0.05, allowed) is None
    assert far > 0.8 * seen > 10


def test_the_likeliest_of_equal_rank_is_half_the_gap_away() -> None:
    logits = np.array([1.0, 3.0, 2.5], np.float32)
    assert distance(logits, 2, Sampling(), STREAM, 0, 0.3) == pytest.approx(0.25)
    assert distance(logits, 2, Sampling(), STREAM, 0, 0.2) is None


def test_a_token_that_the_grammar_does_not_allow_is_never_near() -> None:
    logits = np.array([1.0, 3.0, 2.5], np.float32)
    allowed = np.array([True, True, False])
    assert distance(logits, 2, Sampling(), STREAM, 0, 100.0, allowed) is None
    assert distance(np.array([0.0, -np.inf]), 1, Sampling(temperature=1.0), STREAM, 0, 100.0) is None


def test_a_token_beyond_the_kept_ones_is_far_away() -> None:
    logits = np.array([5.0, 4.9, 0.0, 0.0], np.float32)
    for sampling in (Sampling(temperature=1.0, top_k=2), Sampling(1.0, top_p=0.9), Sampling(1.0, min_p=0.5)):
        assert distance(logits, 3, sampling, STREAM, 0, 0.5) is None


def test_where_every_token_stays_the_sums_alone_tell_the_same() -> None:
    """A `min_p` that no weight is below changes nothing but the way: it looks at each token."""
    for index, logits, _, chance in cases(60):
        token = int(chance.integers(60))
        quick = distance(logits, token, Sampling(temperature=0.9), STREAM, index, 2.0)
        slow = distance(logits, token, Sampling(temperature=0.9, min_p=1e-300), STREAM, index, 2.0)
        assert (quick is None) == (slow is None)
        assert quick == pytest.approx(slow, abs=1e-4)
