"""From logits to a token, the same bits every time.

In float64 and in this order, each step only if it is asked for:

1. The repetition penalty: logits of tokens that the prompt or the answer holds are divided by it where they are above
   0, and multiplied by it elsewhere.
2. The presence penalty is subtracted from the logits of tokens that the answer holds.
3. The logit bias is added.
4. Tokens that the grammar does not allow are out.

Then greedy takes the largest logit, the lower token id where two are equal. Otherwise:

5. The `top_k` largest logits stay (ties: lower ids first).
6. Weights `exp((logit - largest) / temperature)`, at most 1.
7. The nucleus: in order of falling weight (ties: lower ids first), the shortest prefix whose sum reaches `top_p` of
   the whole sum.
8. Weights of at least `min_p` stay; the largest weight is 1.
9. In order of rising token id, the first token whose running sum exceeds `u` times the sum of what is left.

All sums are running sums from left to right (`cumsum`), never pairwise, so that their bits depend on the values alone.
That is what is chosen; where a quicker way is sure to choose the same, it is taken (`top_k`, `top_p`, `running_sum`).
The number `u` in [0, 1) comes from the request's own stream and the token's index: it does not matter what else runs,
what ran before, or whether the generation began anew in another process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.requests.generate_request import Sampling
from turnwise.inference.sampling.running_sum import first_beyond
from turnwise.inference.sampling.top_k import top_k_ids
from turnwise.inference.sampling.top_p import top_p_ids


class UnusableLogits(ArithmeticError):
    """Raised where no token can be chosen: logits hold NaN, plus infinity, or minus infinity for all allowed tokens."""


def uniform(stream: bytes, index: int) -> float:
    """Number `index` of the stream (a key of at most 64 bytes): 53 bits, so exactly a float in [0, 1)."""
    digest = blake2b(index.to_bytes(8, "little"), key=stream, digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


def choose(
    logits: NDArray[Any], sampling: Sampling, stream: bytes, index: int, allowed: NDArray[np.bool_] | None = None
) -> int:
    """Choose the token id for one row of logits (shape [vocabulary], floats of any width). Raises UnusableLogits.

    Penalties and bias are taken as applied (`LogitsProcessor`). `allowed` (shape [vocabulary]) is the grammar's mask.
    """
    best = int(logits.argmax())  # the first of equals; and NaN counts as the largest
    largest = float(logits[best])
    if not math.isfinite(largest):
        raise UnusableLogits(f"logit of token {best} is {largest}")
    greedy = sampling.temperature == 0.0 or sampling.top_k == 1
    if greedy and (allowed is None or allowed[best]):
        return best
    ids: Ids = None
    if allowed is not None:
        ids = np.flatnonzero(allowed)
        logits = logits.take(ids)
        best = int(logits.argmax())
        largest = float(logits[best])
    if largest == -np.inf:
        raise UnusableLogits("every token that the grammar allows has the logit -inf")
    if greedy:
        return best if ids is None else int(ids[best])
    ids, weights = _weights(ids, logits, largest, sampling)
    place = first_beyond(weights, uniform(stream, index))
    return place if ids is None else int(ids[place])


Ids = NDArray[np.intp] | None
"""Token ids, rising; None for the whole vocabulary, which need not be copied then."""


def _weights(ids: Ids, logits: NDArray[Any], largest: float, sampling: Sampling) -> tuple[Ids, NDArray[np.float64]]:
    """Steps 5 to 8: the tokens that stay, and their weights."""
    top_p = sampling.top_p if sampling.top_p is not None and sampling.top_p < 1.0 else None
    if sampling.top_k is not None and sampling.top_k < len(logits):
        ids, logits = _kept(ids, logits, top_k_ids(logits, sampling.top_k))
    if sampling.min_p and top_p is None:
        lowest = _lowest(largest, sampling.temperature, sampling.min_p)
        ids, logits = _kept(ids, logits, np.flatnonzero(logits >= lowest))
    weights = logits.astype(np.float64)
    weights -= largest
    with np.errstate(over="ignore", under="ignore"):
        weights /= sampling.temperature
        np.exp(weights, out=weights)
    if top_p is not None:
        ids, weights = _kept(ids, weights, top_p_ids(weights, top_p))
    if sampling.min_p:
        ids, weights = _kept(ids, weights, np.flatnonzero(weights >= sampling.min_p))
    return ids, weights


def _kept(ids: Ids, values: NDArray[Any], places: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    return places if ids is None else ids[places], values[places]


def _lowest(largest: float, temperature: float, min_p: float) -> float:
    """Return a logit that is a little less than any whose weight can be `min_p`: it saves most of the weights."""
    lowest = largest + temperature * math.log(min_p)
    return lowest - 1e-5 * (abs(largest) + abs(lowest) + temperature)


class LogitsProcessor:
    """Apply the penalties and the bias of one generation, by its tokens so far."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self._sampling = sampling
        self._penalties = sampling.repetition_penalty != 1.0 or sampling.presence_penalty != 0.0
        self._answer: set[int] = set()
        self._seen = set(prompt) if sampling.repetition_penalty != 1.0 else set()
        self._bias_ids = np.array([token for token, _ in sampling.bias], np.intp)
        self._bias = np.array([number for _, number in sampling.bias], np.float64)

    def push(self, token: int) -> None:
        """Take a token of the answer."""
        if self._penalties:
            self._answer.add(token)
            self._seen.add(token)

    def apply(self, logits: NDArray[Any]) -> NDArray[Any]:
        """Change logits (shape [vocabulary]): float64 if there is anything to change, else the same array."""
        sampling = self._sampling
        if not self._penalties and not sampling.bias:
            return logits
        wide = logits.astype(np.float64)
        if sampling.repetition_penalty != 1.0:
            ids = np.fromiter(self._seen, np.intp, len(self._seen))
            values, penalty = wide[ids], sampling.repetition_penalty
            wide[ids] = np.where(values > 0.0, values / penalty, values * penalty)
        if sampling.presence_penalty != 0.0:
            wide[np.fromiter(self._answer, np.intp, len(self._answer))] -= sampling.presence_penalty
        wide[self._bias_ids] += self._bias
        return wide
