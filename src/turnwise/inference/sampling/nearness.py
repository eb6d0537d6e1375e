"""Distance of a model from choosing a token: the least change of its logits with which the token is chosen.

The chance of a choice is known (`choose.uniform`), so of each token it can be told whether there are logits, none of
which is further than a margin from the model's, by which `choose` takes that token. A token that belongs to another
chance, another model or other rules of sampling needs logits that are far away.

Steps of `choose` that keep some of the tokens (`top_k`, `top_p`, `min_p`) are taken as sets between two bounds: tokens
that stay whatever the change, and tokens that may. So the distance is never more than what is needed, and less only
where a token is at the edge of such a set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.requests.generate_request import Sampling
from turnwise.inference.sampling.choose import uniform

HALVINGS: Final = 16
"""Steps in which the distance is found: to one part in 65,536 of the margin."""

Logits = NDArray[np.float64]


def distance(
    logits: NDArray[Any],
    token: int,
    sampling: Sampling,
    stream: bytes,
    index: int,
    margin: float,
    allowed: NDArray[np.bool_] | None = None,
) -> float | None:
    """Return the least change of logits (shape [vocabulary], finite) that makes `token` the choice.

    None if that is more than `margin`. Penalties and bias are taken as applied, as `choose` takes them.
    """
    ids = np.arange(len(logits)) if allowed is None else np.flatnonzero(allowed)
    place = int(np.searchsorted(ids, token))
    if place == len(ids) or ids[place] != token:
        return None
    wide = logits.astype(np.float64)[ids]
    if wide[place] == -np.inf:
        return None
    if sampling.temperature == 0.0 or sampling.top_k == 1:
        least = float(wide.max() - wide[place]) / 2
        return least if least <= margin else None
    share = uniform(stream, index)
    possible = _among_all(wide, place, sampling.temperature, share) if _keeps_all(sampling, len(wide)) else None
    possible = possible or partial(_possible, wide, place, sampling, share)
    if not possible(margin):
        return None
    low, high = 0.0, margin
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if possible(middle):
            high = middle
        else:
            low = middle
    return high


def _keeps_all(sampling: Sampling, count: int) -> bool:
    top_k = sampling.top_k is not None and sampling.top_k < count
    top_p = sampling.top_p is not None and sampling.top_p < 1.0
    return not (top_k or top_p or sampling.min_p)


def _among_all(logits: Logits, place: int, temperature: float, share: float) -> Callable[[float], bool]:
    """Return what `_possible` says of a change where every token stays: then sums of weights move by a factor, too."""
    with np.errstate(over="ignore", under="ignore"):
        weights = np.exp((logits - logits.max()) / temperature)
    before, own, behind = float(weights[:place].sum()), float(weights[place]), float(weights[place + 1 :].sum())

    def possible(change: float) -> bool:
        factor = math.exp(min(change / temperature, 350.0))  # its square is a float, too
        lowest = before / factor * (1 - share) - behind * factor * share
        highest = before * factor * (1 - share) - behind / factor * share
        return lowest <= own * factor * share and highest >= -own * factor * (1 - share)

    return possible


def _possible(logits: Logits, place: int, sampling: Sampling, share: float, change: float) -> bool:
    """True if logits that are changed by at most `change` can make the token at `place` the choice.

    With weights A before the token, B of it and D behind it, it is chosen if A <= share * (A + B + D) < A + B. Weights
    move by a factor each. So X = A * (1 - share) - D * share has to be in (-B * (1 - share), B * share], and can be
    anything between its bounds.
    """
    surely, maybe = _kept(logits, sampling, change)
    if not maybe[place]:
        return False
    shifted = (logits - logits.max()) / sampling.temperature
    factor = change / sampling.temperature
    with np.errstate(over="ignore", under="ignore"):
        heavy, light = np.exp(shifted + factor), np.exp(shifted - factor)
    most, least = np.where(maybe, heavy, 0.0), np.where(surely, light, 0.0)
    before = float(least[:place].sum()), float(most[:place].sum())
    behind = float(least[place + 1 :].sum()), float(most[place + 1 :].sum())
    own = float(heavy[place])
    lowest = before[0] * (1 - share) - behind[1] * share
    highest = before[1] * (1 - share) - behind[0] * share
    return lowest <= own * share and highest >= -own * (1 - share)


def _kept(logits: Logits, sampling: Sampling, change: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the tokens that stay after `top_k`, `top_p` and `min_p` whatever the change, and those that may."""
    surely = np.ones(len(logits), np.bool_)
    maybe = surely.copy()
    around = 2 * change
    if sampling.top_k is not None and sampling.top_k < len(logits):
        last = float(np.partition(logits, len(logits) - sampling.top_k)[len(logits) - sampling.top_k])
        behind = float(np.partition(logits, len(logits) - sampling.top_k - 1)[len(logits) - sampling.top_k - 1])
        surely &= logits > behind + around
        maybe &= logits >= last - around
    if sampling.top_p is not None and sampling.top_p < 1.0:
        low, high = _heavier(logits, surely, maybe, sampling.temperature, change)
        surely &= high < sampling.top_p
        maybe &= low < sampling.top_p
    if sampling.min_p:
        lowest = float(logits.max()) + sampling.temperature * math.log(sampling.min_p)
        surely &= logits >= lowest + around
        maybe &= logits >= lowest - around
    return surely, maybe


def _heavier(
    logits: Logits, surely: NDArray[np.bool_], maybe: NDArray[np.bool_], temperature: float, change: float
) -> tuple[Logits, Logits]:
    """Return bounds of the share that tokens heavier than each have of the whole, of those that stay."""
    order = np.argsort(-logits, kind="stable")
    ranked = logits[order]
    with np.errstate(over="ignore", under="ignore"):
        weights = np.exp((ranked - ranked[0]) / temperature)
        spread = math.exp(min(2 * change / temperature, 700.0))
    sure = np.concatenate(([0.0], np.cumsum(np.where(surely[order], weights, 0.0))))
    possible = np.concatenate(([0.0], np.cumsum(np.where(maybe[order], weights, 0.0))))
    falling = -ranked
    first = np.searchsorted(falling, falling - 2 * change, side="left")
    last = np.searchsorted(falling, falling + 2 * change, side="right")
    before, rest = sure[first], possible[-1] - possible[first]
    low = before / np.maximum(before + rest * spread, np.finfo(np.float64).tiny)
    before, rest = np.maximum(possible[last] - np.where(maybe[order], weights, 0.0), 0.0), sure[-1] - sure[last]
    rest += np.where(surely[order], weights, 0.0)
    high = before * spread / np.maximum(before * spread + rest, np.finfo(np.float64).tiny)
    bounds = np.empty((2, len(logits)))
    bounds[:, order] = low, high
    return bounds[0], bounds[1]
