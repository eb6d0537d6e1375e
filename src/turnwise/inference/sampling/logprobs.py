"""Log probabilities: how likely the model itself found each token, before anything that a request changes.

The softmax is taken in float64, with running sums from left to right, and told with six decimals.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.sampling.choose import UnusableLogits
from turnwise.inference.sampling.top_k import top_k_ids
from turnwise.inference.text.vocabulary import Vocabulary

DECIMALS: Final = 6
IMPOSSIBLE: Final = -9999.0
"""The log probability of what has none: JSON has no minus infinity, and this number means it elsewhere too."""

ENTRIES_MAX: Final = 262_144
"""Tokens and alternatives in one reply, each about 50 bytes."""


def token_logprobs(logits: NDArray[Any], token: int, count: int, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the log probabilities of one token that was taken, by `logits` (shape [vocabulary]).

    Raises UnusableLogits where they are no probabilities: with NaN or plus infinity, or minus infinity for all tokens.

    `{"id", "text", "logprob", "top": [{"id", "text", "logprob"}, …]}`: `top` are the `count` likeliest tokens, the
    likelier first, the lower id where two are equal. Tokens of probability 0 are left out of it; if the token itself is
    such, which only a grammar can force, its `logprob` is `IMPOSSIBLE`.
    """
    largest = float(logits.max())  # NaN counts as the largest
    if not math.isfinite(largest):
        raise UnusableLogits(f"the largest logit is {largest}")
    weights = logits.astype(np.float64)
    weights -= largest
    np.exp(weights, out=weights)
    whole = largest + math.log(np.cumsum(weights, out=weights)[-1])
    top: list[int] = []
    if count:
        ids = top_k_ids(logits, count) if count < len(logits) else np.arange(len(logits))
        ids = ids[logits[ids] > -np.inf]
        top = [int(number) for number in ids[np.argsort(-logits[ids], kind="stable")]]
    told = [
        {"id": number, "text": vocabulary.token_text(number), "logprob": _rounded(float(logits[number]) - whole)}
        for number in (token, *top)
    ]
    return {**told[0], "top": told[1:]}


def _rounded(value: float) -> float:
    if value == -math.inf:
        return IMPOSSIBLE
    return round(float(value), DECIMALS) + 0.0  # never -0.0
