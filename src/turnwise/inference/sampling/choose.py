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
Steps 1 to 3 change few logits of many (`changes`), so a row in float64 is made only where weights or ranks need it.
The number `u` in [0, 1) comes from the request's own stream and the token's index: it does not matter what else runs,
what ran before, or whether the generation began anew in another process.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.requests.generate_request import Sampling
from turnwise.inference.sampling.changes import Changes
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
    logits: NDArray[Any],
    sampling: Sampling,
    stream: bytes,
    index: int,
    allowed: NDArray[np.bool_] | None = None,
    changes: Changes | None = None,
) -> int:
    """Choose the token id for one row of logits (shape [vocabulary], floats of any width). Raises UnusableLogits.

    `changes` are what penalties and bias make of some logits (`LogitsProcessor`). `allowed` (shape [vocabulary]) is the
    grammar's mask.
    """
    best, largest = _largest(logits, changes)
    if not math.isfinite(largest):
        raise UnusableLogits(f"logit of token {best} is {largest}")
    greedy = sampling.temperature == 0.0 or sampling.top_k == 1
    if greedy and (allowed is None or allowed[best]):
        return best
    ids: Ids = None
    if allowed is not None:
        ids, logits, changes = _taken(logits, changes, np.flatnonzero(allowed))
        best, largest = _largest(logits, None)
    if largest == -np.inf:
        raise UnusableLogits("every token that the grammar allows has the logit -inf")
    if greedy:
        return best if ids is None else int(ids[best])
    ids, weights = _weights(ids, logits, changes, largest, sampling)
    place = first_beyond(weights, uniform(stream, index))
    return place if ids is None else int(ids[place])


Ids = NDArray[np.intp] | None
"""Token ids, rising; None for the whole vocabulary, which need not be copied then."""


def _largest(logits: NDArray[Any], changes: Changes | None) -> tuple[int, float]:
    """The largest logit and its place, the first of equals; and NaN counts as the largest."""
    best = int(logits.argmax())
    if changes is None or math.isnan(logits[best]):
        return best, float(logits[best])
    if changes.has(best):
        others = _others(logits, changes)
        best = int(others.argmax())
        largest = float(others[best])
    else:
        largest = float(logits[best])
    place = int(changes.values.argmax())
    value, token = float(changes.values[place]), int(changes.ids[place])
    return (token, value) if (value, -token) > (largest, -best) else (best, largest)


def _others(logits: NDArray[Any], changes: Changes) -> NDArray[Any]:
    """Logits that are not changed; minus infinity for those that are."""
    others = logits.copy()
    others[changes.ids] = -np.inf
    return others


def _taken(
    logits: NDArray[Any], changes: Changes | None, ids: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[Any], None]:
    """Logits of some tokens (`ids` rise), as they are after the changes."""
    taken = logits.take(ids)
    return ids, taken if changes is None else changes.applied(taken, ids), None


def _weights(
    ids: Ids, logits: NDArray[Any], changes: Changes | None, largest: float, sampling: Sampling
) -> tuple[Ids, NDArray[np.float64]]:
    """Steps 5 to 8: the tokens that stay, and their weights. With `changes`, `ids` are the whole vocabulary."""
    top_p = sampling.top_p if sampling.top_p is not None and sampling.top_p < 1.0 else None
    if sampling.top_k is not None and sampling.top_k < len(logits):
        if changes is not None:
            logits, changes = changes.applied(logits), None
        ids, logits = _kept(ids, logits, top_k_ids(logits, sampling.top_k))
    if sampling.min_p and top_p is None:
        lowest = _lowest(largest, sampling.temperature, sampling.min_p)
        if changes is not None:
            logits, changes = changes.applied(logits), None
        ids, logits = _kept(ids, logits, np.flatnonzero(logits >= lowest))
    weights = logits.astype(np.float64)
    if changes is not None:
        weights[changes.ids] = changes.values
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
