"""Top-p (nucleus) selection: the heaviest weights that together have a share of all, without a full sort.

What is wanted is defined by a running sum over the sorted weights (`_sorted`). Sums in another order differ from it by
no more than `rounding_slack` tells; where that could decide, it is done as it is defined.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.sampling.running_sum import rounding_slack

MANY: Final = 2_048
CLASS_BITS: Final = 44
"""Weights are put into classes by their bits beyond these: 256 classes from one power of 2 to the next."""


def top_p_ids(weights: NDArray[np.float64], share: float) -> NDArray[np.intp]:
    """Find the places of the heaviest weights whose sum reaches `share`, below 1, of the whole, rising.

    The shortest beginning of the weights in falling order; of equal ones, the lower places are first. Weights below
    half of `(1 - share) * whole / count` weigh less than half of `1 - share` together: they cannot be needed.
    """
    whole = float(weights.sum())
    slack = rounding_slack(len(weights))
    wanted = (share * whole * (1 - slack), share * whole * (1 + slack))
    places = np.flatnonzero(weights >= 0.5 * (1.0 - share) * share * whole / len(weights))
    heavy = weights[places]
    kept = _by_classes(heavy, wanted) if len(heavy) > MANY else _sorted(heavy, wanted)
    if kept is None:
        exact = share * float(np.cumsum(weights)[-1])
        kept = _sorted(heavy, (exact, exact))
    return places[kept]


Kept = NDArray[np.bool_] | NDArray[np.intp]
"""A mask, or rising places."""


def _sorted(weights: NDArray[np.float64], wanted: tuple[float, float]) -> Kept | None:
    """Select by sorting all; None where the two sums in `wanted` select differently."""
    order = np.argsort(-weights, kind="stable")
    count, count_max = np.searchsorted(np.cumsum(weights[order]), wanted, side="left")
    return np.sort(order[: count + 1]) if count == count_max else None


def _by_classes(weights: NDArray[np.float64], wanted: tuple[float, float]) -> Kept | None:
    """Select, sorting only the class in which the sum is reached; None where the order of summing could decide."""
    classes = weights.view(np.int64) >> CLASS_BITS  # they rise with the weights
    classes = classes.max() - classes
    sums = np.cumsum(np.bincount(classes, weights))
    last, last_max = np.searchsorted(sums, wanted, side="left")
    if last != last_max or last == len(sums):
        return None
    before = float(sums[last - 1]) if last else 0.0
    within = np.flatnonzero(classes == last)
    within = within[np.argsort(-weights[within], kind="stable")]
    count, count_max = np.searchsorted(before + np.cumsum(weights[within]), wanted, side="left")
    if count != count_max or count == len(within):
        return None
    kept: NDArray[np.bool_] = classes < last
    kept[within[: count + 1]] = True
    return kept
