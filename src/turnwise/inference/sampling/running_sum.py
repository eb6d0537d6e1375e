"""Running sums of weights, where only a comparison with them is wanted.

A running sum from left to right is slow: each addition waits for the one before. Sums of blocks are quick, and differ
from it by no more than what rounding can make. Where that cannot decide a comparison, the running sum itself is taken,
so results are always those of running sums.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 256
FEW: Final = 4 * BLOCK


def rounding_slack(count: int) -> float:
    """Return an upper bound of the relative difference of two sums of `count` weights in different orders.

    Each is within `count * 2**-53` of the true sum, to first order.
    """
    return count * 2.0**-50


def first_beyond(weights: NDArray[np.float64], share: float) -> int:
    """Find the first place where the running sum of weights (none negative) exceeds `share` (< 1) of the whole sum."""
    place = _by_blocks(weights, share) if len(weights) > FEW else None
    if place is not None:
        return place
    sums = np.cumsum(weights)
    place = int(np.searchsorted(sums, share * sums[-1], side="right"))
    return min(place, len(weights) - 1)


def _by_blocks(weights: NDArray[np.float64], share: float) -> int | None:
    """Do the same by sums of blocks; None where rounding could decide."""
    whole = len(weights) // BLOCK * BLOCK
    ends = np.cumsum(np.append(weights[:whole].reshape(-1, BLOCK).sum(axis=1), weights[whole:].sum()))
    wanted = share * ends[-1]
    block = int(np.searchsorted(ends, wanted, side="right"))
    if block == len(ends):
        return None
    before = float(ends[block - 1]) if block else 0.0
    sums = before + np.cumsum(weights[block * BLOCK : (block + 1) * BLOCK])
    place = int(np.searchsorted(sums, wanted, side="right"))
    if place == len(sums):
        return None
    slack = rounding_slack(len(weights)) * ends[-1]
    sure = wanted - (sums[place - 1] if place else before) > slack and sums[place] - wanted > slack
    return block * BLOCK + place if sure else None
