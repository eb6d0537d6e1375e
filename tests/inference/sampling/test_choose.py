from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from turnwise.inference.requests.generate_request import Sampling
from turnwise.inference.sampling.changes import Changes
from turnwise.inference.sampling.choose import UnusableLogits, choose, uniform

KEY = bytes(range(32))


def row(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def test_the_stream_is_fixed_for_ever() -> None:
    """These numbers are part of what a journal promises."""
    assert [uniform(KEY, index) for index in (0, 1, 10**9)] == [
        0.127848242572835,
        0.06654947675894951,
        0.6949439344727331,
    ]
    assert uniform(bytes(32), 0) != uniform(KEY, 0)


def test_greedy_takes_the_largest_and_of_equals_the_lowest_id() -> None:
    assert choose(row(1, 3, 3, 2), Sampling(), KEY, 0) == 1
    assert choose(row(-np.inf, -5), Sampling(), KEY, 0) == 1
    assert choose(row(1, 3, 3, 2), Sampling(1.0, top_k=1), KEY, 0) == 1
    assert choose(np.array([1, 3], np.float16), Sampling(), KEY, 0) == 1


@pytest.mark.parametrize("bad", [(np.nan, 1), (1, np.nan), (np.inf, 1), (-np.inf, -np.inf), (1, np.inf, np.nan)])
def test_logits_that_are_no_numbers_choose_nothing(bad: tuple[float, ...]) -> None:
    for sampling in (Sampling(), Sampling(1.0), Sampling(1.0, 2, 0.5)):
        with pytest.raises(UnusableLogits):
            choose(row(*bad), sampling, KEY, 0)


def test_top_k_keeps_the_lowest_ids_of_equal_logits() -> None:
    logits = row(0, 2, 1, 1, 1, 2)
    drawn = {choose(logits, Sampling(100.0, top_k=4), KEY, index) for index in range(400)}
    assert drawn == {1, 2, 3, 5}


def test_top_p_keeps_the_shortest_prefix_that_reaches_the_share() -> None:
    logits = np.log(np.array([0.1, 0.5, 0.15, 0.25], np.float64)).astype(np.float32)
    for share, kept in ((0.4, {1}), (0.6, {1, 3}), (0.76, {1, 2, 3}), (0.95, {0, 1, 2, 3}), (1.0, {0, 1, 2, 3})):
        assert {choose(logits, Sampling(1.0, top_p=share), KEY, index) for index in range(300)} == kept


def test_shares_follow_the_softmax() -> None:
    logits = row(0, 1, 2)
    counts = np.bincount([choose(logits, Sampling(0.5), KEY, index) for index in range(20_000)], minlength=3)
    expected = np.exp(np.array([0, 2, 4]))
    assert np.abs(counts / 20_000 - expected / expected.sum()).max() < 0.01


def test_extreme_temperatures() -> None:
    assert choose(row(1, 2, 2), Sampling(5e-324), KEY, 3) in (1, 2)
    assert choose(row(-3e38, 3e38), Sampling(1e-300), KEY, 0) == 1
    assert choose(row(1, -np.inf), Sampling(100.0), KEY, 0) == 0


def test_min_p_keeps_what_is_not_much_less_likely_than_the_likeliest() -> None:
    logits = np.log(np.array([0.1, 0.5, 0.15, 0.25], np.float64)).astype(np.float32)
    for share, kept in ((0.0, {0, 1, 2, 3}), (0.25, {1, 2, 3}), (0.4, {1, 3}), (0.6, {1}), (1.0, {1})):
        assert {choose(logits, Sampling(1.0, min_p=share), KEY, index) for index in range(300)} == kept


def test_only_what_is_allowed_is_chosen() -> None:
    logits = row(5, 1, 4, 3)
    allowed = np.array([False, True, False, True])
    assert choose(logits, Sampling(), KEY, 0, allowed) == 3
    assert {choose(logits, Sampling(100.0, top_k=3), KEY, index, allowed) for index in range(100)} == {1, 3}
    assert choose(row(-np.inf, 1, 0, -np.inf), Sampling(), KEY, 0, allowed) == 1
    with pytest.raises(UnusableLogits, match="every token that the grammar allows"):
        choose(row(5, -np.inf, 4, -np.inf), Sampling(1.0), KEY, 0, allowed)
    with pytest.raises(UnusableLogits, match="token 0 is nan"):
        choose(row(np.nan, 1, 2, 3), Sampling(), KEY, 0, allowed)


def plain(logits: NDArray[np.float32], sampling: Sampling, u: float, allowed: list[bool]) -> int:
    """The same definition, written for reading: everything sorted, nothing left out in advance."""
    wide = [float(value) for value in logits]
    places = [index for index in range(len(wide)) if allowed[index]]
    order = sorted(places, key=lambda index: (-wide[index], index))[: sampling.top_k]
    top = wide[order[0]]
    weight = {index: float(np.exp((wide[index] - top) / sampling.temperature)) for index in order}
    if sampling.top_p is not None and sampling.top_p < 1:
        whole = 0.0
        for index in sorted(order):
            whole += weight[index]
        total, kept = 0.0, []
        for index in sorted(order, key=lambda index: (-weight[index], index)):
            kept.append(index)
            total += weight[index]
            if total >= sampling.top_p * whole:
                break
        order = kept
    if sampling.min_p is not None:
        order = [index for index in order if weight[index] >= sampling.min_p]
    sums, total = [], 0.0
    for index in sorted(order):
        total += weight[index]
        sums.append((index, total))
    return next((index for index, reached in sums if reached > u * total), sums[-1][0])


@given(
    arrays(np.float32, st.integers(1, 40), elements=st.floats(-30, 30, width=16).map(lambda value: round(value, 1))),
    st.floats(0.01, 10),
    st.none() | st.integers(1, 50),
    st.none() | st.floats(0.01, 1.0),
    st.none() | st.floats(0.0, 1.0),
    st.integers(0, 2**40),
    st.none() | st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_it_is_what_the_definition_says(
    logits: NDArray[np.float32],
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    min_p: float | None,
    index: int,
    mask: list[bool] | None,
) -> None:
    sampling = Sampling(temperature, top_k, top_p, min_p)
    allowed = None if mask is None or not any(mask[: len(logits)]) else np.array(mask[: len(logits)])
    shown = [True] * len(logits) if allowed is None else allowed.tolist()
    assert choose(logits, sampling, KEY, index, allowed) == plain(logits, sampling, uniform(KEY, index), shown)


@given(st.data())
def test_changed_logits_are_chosen_from_as_if_they_had_been_so(data: st.DataObject) -> None:
    """Few logits are others: what is chosen is the same as from a row in which they were put."""
    near = st.floats(-4, 4, width=16).map(lambda value: round(value, 1))
    size = data.draw(st.integers(1, 40))
    logits = data.draw(arrays(np.float32, size, elements=near | st.just(-np.inf)))
    ids = sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1)))
    values = data.draw(st.lists(near, min_size=len(ids), max_size=len(ids)))
    changes = Changes(np.array(ids, np.intp), np.array(values, np.float64))
    mask = data.draw(st.none() | arrays(np.bool_, size).filter(lambda shown: shown.any()))
    top_k, top_p = st.none() | st.integers(1, 50), st.none() | st.floats(0.01, 1.0)
    temperature, min_p = st.just(0.0) | st.floats(0.01, 10), st.none() | st.floats(0.0, 1.0)
    sampling = Sampling(data.draw(temperature), data.draw(top_k), data.draw(top_p), data.draw(min_p))
    whole = logits.astype(np.float64)
    whole[ids] = values
    assert (changes.applied(logits) == whole).all()

    def chosen(*arguments: object) -> object:
        try:
            return choose(*arguments)  # type: ignore[arg-type]
        except UnusableLogits as error:
            return str(error)

    assert chosen(logits, sampling, KEY, 3, mask, changes) == chosen(whole, sampling, KEY, 3, mask)


def test_a_changed_logit_that_was_the_largest() -> None:
    logits = row(1, 9, 3, 3)
    assert choose(logits, Sampling(), KEY, 0, None, Changes(np.array([1]), np.array([2.0]))) == 2
    assert choose(logits, Sampling(), KEY, 0, None, Changes(np.array([0, 1]), np.array([3.0, 2.0]))) == 0
    assert choose(logits, Sampling(), KEY, 0, None, Changes(np.array([3]), np.array([9.0]))) == 1
    with pytest.raises(UnusableLogits, match="token 2 is nan"):
        choose(row(1, 9, np.nan, 3), Sampling(), KEY, 0, None, Changes(np.array([1]), np.array([2.0])))


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(0.7), Sampling(1.5, 40), Sampling(1.0, None, 0.9), Sampling(1.0, min_p=0.01)]
)
@pytest.mark.parametrize("share", [None, 0.5, 0.001])
@pytest.mark.parametrize("repeats", [1, pytest.param(10, marks=pytest.mark.exhaustive)])
def test_a_large_vocabulary(sampling: Sampling, share: float | None, repeats: int) -> None:
    """Here the quicker ways are taken."""
    random = np.random.default_rng(9)
    for index, spread in enumerate([0.5, 2, 8] * repeats):
        logits = (random.standard_normal(20_000) * spread).astype(np.float32)
        allowed = None if share is None else random.random(20_000) < share
        shown = [True] * 20_000 if allowed is None else allowed.tolist()
        expected = plain(logits, Sampling(1.0, 1), 0.0, shown)
        if sampling.temperature:
            expected = plain(logits, sampling, uniform(KEY, index), shown)
        assert choose(logits, sampling, KEY, index, allowed) == expected
        ids = np.unique(random.integers(0, 20_000, 300))
        changes = Changes(ids, random.standard_normal(len(ids)) * spread * 2)
        whole = changes.applied(logits)
        assert choose(logits, sampling, KEY, index, allowed, changes) == choose(whole, sampling, KEY, index, allowed)


def test_another_process_draws_the_same() -> None:
    script = (
        "import numpy as np\n"
        "from turnwise.inference.requests.generate_request import Sampling\n"
        "from turnwise.inference.sampling.choose import choose\n"
        "logits = np.random.default_rng(1).standard_normal(1000).astype(np.float32)\n"
        "print([choose(logits, Sampling(0.9, 200, 0.95), bytes(range(32)), index) for index in range(50)])\n"
    )
    runs = {
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    }
    logits = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    here = [choose(logits, Sampling(0.9, 200, 0.95), KEY, index) for index in range(50)]
    assert runs == {f"{here}\n"}
