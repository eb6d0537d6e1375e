from __future__ import annotations

import numpy as np
import pytest

from tests.inference import toy
from turnwise.inference.sampling import logprobs
from turnwise.inference.sampling.choose import UnusableLogits
from turnwise.inference.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(toy.byte_tokenizer(), toy.BOS)


def test_shares_of_the_softmax(tokenizer: Tokenizer) -> None:
    logits = np.full(toy.VOCABULARY, -np.inf, np.float32)
    logits[[ord("a") + 2, ord("b") + 2, ord("c") + 2, 300 - 256]] = np.log([0.5, 0.2, 0.2, 0.1])
    entry = logprobs.token_logprobs(logits, ord("b") + 2, 3, tokenizer.vocabulary(frozenset({toy.END})))
    assert entry == {
        "id": 100,
        "text": "b",
        "logprob": -1.609438,
        "top": [
            {"id": 99, "text": "a", "logprob": -0.693147},
            {"id": 100, "text": "b", "logprob": -1.609438},
            {"id": 101, "text": "c", "logprob": -1.609438},
        ],
    }


def test_what_is_impossible_is_no_alternative(tokenizer: Tokenizer) -> None:
    logits = np.full(toy.VOCABULARY, -np.inf, np.float32)
    logits[200] = 3.0
    entry = logprobs.token_logprobs(logits, 200, 20, tokenizer.vocabulary(frozenset({toy.END})))
    assert entry == {
        "id": 200,
        "text": "\ufffd",
        "logprob": 0.0,
        "top": [{"id": 200, "text": "\ufffd", "logprob": 0.0}],
    }
    assert str(entry["logprob"]) == "0.0"


def test_no_alternatives_at_all(tokenizer: Tokenizer) -> None:
    entry = logprobs.token_logprobs(np.zeros(4, np.float16), 1, 0, tokenizer.vocabulary(frozenset({toy.END})))
    assert entry == {"id": 1, "text": "</s>", "logprob": -1.386294, "top": []}


def test_all_together_are_certain(tokenizer: Tokenizer) -> None:
    logits = np.random.default_rng(0).standard_normal(20).astype(np.float32) * 3
    entry = logprobs.token_logprobs(logits, 0, 20, tokenizer.vocabulary(frozenset({toy.END})))
    told = [item["logprob"] for item in entry["top"]]
    assert sum(np.exp(told)) == pytest.approx(1, abs=1e-4)
    assert told == sorted(told, reverse=True)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_probabilities(tokenizer: Tokenizer, value: float) -> None:
    logits = np.zeros(toy.VOCABULARY, np.float32)
    logits[7] = value
    with pytest.raises(UnusableLogits, match=f"the largest logit is {value}"):
        logprobs.token_logprobs(logits, 5, 2, tokenizer.vocabulary(frozenset({toy.END})))
    with pytest.raises(UnusableLogits):
        logprobs.token_logprobs(np.full(4, -np.inf), 1, 0, tokenizer.vocabulary(frozenset({toy.END})))


def test_a_token_that_has_no_probability_has_a_number_all_the_same(tokenizer: Tokenizer) -> None:
    logits = np.zeros(toy.VOCABULARY, np.float32)
    logits[ord("a") + 2] = -np.inf
    entry = logprobs.token_logprobs(logits, ord("a") + 2, 1, tokenizer.vocabulary(frozenset({toy.END})))
    assert (entry["text"], entry["logprob"]) == ("a", logprobs.IMPOSSIBLE)
    assert entry["top"][0]["logprob"] > logprobs.IMPOSSIBLE
