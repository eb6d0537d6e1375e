"""From logits to a token, the same bits every time.

Greedy is the largest logit, the lower token id where two are equal. Otherwise, in float64 and in this order:

1. The `top_k` largest logits stay (ties: lower ids first).
2. Weights `exp((logit - largest) / temperature)`, at most 1.
3. The nucleus: in order of falling weight (ties: lower ids first), the shortest prefix whose sum reaches `top_p` of
   the whole sum.
4. In order of rising token id, the first token whose running sum exceeds `u` times the sum of what is left.

All sums are running sums from left to right (`cumsum`), never pairwise, so that their bits depend on the values alone.
The number `u` in [0, 1) comes from the request's own stream and the token's index: it does not matter what else runs,
what ran before, or whether the generation began anew in another process.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.request import Sampling


class NotFinite(ArithmeticError):
    """The model gave logits from which no token can be chosen: NaN, plus infinity, or all minus infinity."""


def uniform(stream: bytes, index: int) -> float:
    """Number `index` of the stream (a key of at most 64 bytes): 53 bits, so exactly a float in [0, 1)."""
    digest = blake2b(index.to_bytes(8, "little"), key=stream, digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


def choose(logits: NDArray[Any], sampling: Sampling, stream: bytes, index: int) -> int:
    """The token id for one row of logits (shape [vocabulary], float32 or float16). Raises NotFinite."""
    best = int(logits.argmax())  # the first of equals; and NaN counts as the largest
    largest = float(logits[best])
    if not np.isfinite(largest):
        raise NotFinite(f"logit of token {best} is {largest}")
    if sampling.temperature == 0.0 or sampling.top_k == 1:
        return best
    wide = logits.astype(np.float64)
    ids = _largest(wide, sampling.top_k)
    with np.errstate(over="ignore", under="ignore"):
        weights = np.exp((wide[ids] - largest) / sampling.temperature)
    if sampling.top_p is not None and sampling.top_p < 1.0:
        kept = _nucleus(weights, sampling.top_p)
        ids, weights = ids[kept], weights[kept]
    sums = np.cumsum(weights)
    place = int(np.searchsorted(sums, uniform(stream, index) * sums[-1], side="right"))
    return int(ids[min(place, len(ids) - 1)])


def _largest(logits: NDArray[np.float64], count: int | None) -> NDArray[np.intp]:
    """Ids of the `count` largest logits, rising; of those equal to the smallest that stays, the lowest ids."""
    if count is None or count >= len(logits):
        return np.arange(len(logits))
    threshold = np.partition(logits, len(logits) - count)[len(logits) - count]
    above = np.flatnonzero(logits > threshold)
    equal = np.flatnonzero(logits == threshold)[: count - len(above)]
    return np.sort(np.concatenate((above, equal)))


def _nucleus(weights: NDArray[np.float64], share: float) -> NDArray[np.intp]:
    """Places of the heaviest weights whose sum reaches `share` of the whole, rising.

    Weights below half of `(1 - share) * whole / count` weigh less than half of `1 - share` together: they cannot be
    needed, and leaving them out first saves sorting a vocabulary.
    """
    wanted = share * np.cumsum(weights)[-1]
    least = 0.5 * (1.0 - share) * wanted / len(weights)
    heavy = np.flatnonzero(weights >= least)
    order = heavy[np.argsort(-weights[heavy], kind="stable")]
    count = int(np.searchsorted(np.cumsum(weights[order]), wanted, side="left")) + 1
    return np.sort(order[:count])
