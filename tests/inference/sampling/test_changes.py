from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from turnwise.inference.requests.generate_request import Sampling
from turnwise.inference.sampling.changes import LogitsProcessor


def row(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def test_penalties_and_bias_come_in_this_order() -> None:
    sampling = Sampling(repetition_penalty=2.0, presence_penalty=0.5, bias=((3, -1.0), (4, 2.0)))
    adjustment = LogitsProcessor(sampling, [0, 1, 1])
    logits = row(4, -4, 4, 4, 4)
    assert adjustment.apply(logits).tolist() == [2, -8, 4, 3, 6]
    adjustment.push(2)
    adjustment.push(2)
    adjustment.push(3)
    assert adjustment.apply(logits).tolist() == [2, -8, 1.5, 0.5, 6]
    assert logits.tolist() == [4, -4, 4, 4, 4]


def test_without_penalties_nothing_is_touched() -> None:
    logits = row(1, 2)
    adjustment = LogitsProcessor(Sampling(1.0, 5, 0.5, 0.1), [0])
    adjustment.push(1)
    assert adjustment.apply(logits) is logits


def test_only_what_changes_is_told() -> None:
    adjustment = LogitsProcessor(Sampling(repetition_penalty=2.0, bias=((1, 0.0),)), [3, 3, 0])
    found = adjustment.changes(row(4, 4, 4, 4, 4))
    assert found is not None
    assert found.ids.tolist() == [0, 1, 3]
    assert found.values.tolist() == [2, 4, 2]
    assert [found.has(token) for token in range(5)] == [True, True, False, True, False]
    assert found.applied(row(7, 8), np.array([2, 3])).tolist() == [7, 2]
    assert found.applied(row(), np.array([], np.intp)).tolist() == []


@given(
    st.lists(st.integers(0, 11), max_size=20),
    st.lists(st.integers(0, 11), max_size=20),
    st.sampled_from([1.0, 0.5, 1.5]),
    st.sampled_from([0.0, 1.0, -2.0]),
    st.dictionaries(st.integers(0, 11), st.sampled_from([-3.0, 0.25]), max_size=4),
)
def test_it_is_what_the_definition_says(
    prompt: list[int], answer: list[int], repetition: float, presence: float, bias: dict[int, float]
) -> None:
    logits = np.linspace(-3, 3, 12).astype(np.float32)
    sampling = Sampling(repetition_penalty=repetition, presence_penalty=presence, bias=tuple(sorted(bias.items())))
    adjustment = LogitsProcessor(sampling, prompt)
    for token in answer:
        adjustment.push(token)
    expected = [float(value) for value in logits]
    for token, value in enumerate(expected):
        if repetition != 1.0 and token in {*prompt, *answer}:
            expected[token] = value / repetition if value > 0 else value * repetition
        if token in answer:
            expected[token] -= presence
        expected[token] += bias.get(token, 0.0)
    assert adjustment.apply(logits).tolist() == expected
