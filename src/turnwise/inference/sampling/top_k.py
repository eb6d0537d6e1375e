"""The largest of many numbers, without sorting them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

GROUP: Final = 64


def top_k_ids(numbers: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Find the places of the `count` largest of more numbers, rising. Among equals, the lower places stay.

    There is no NaN. In groups of numbers, each of the `count` largest maxima stands for a number that is as large: so
    what is smaller than all of these maxima is not among the `count` largest, and is left out first.
    """
    groups = len(numbers) // GROUP
    if 2 * count > groups:
        return _largest(numbers, count)
    maxima = numbers[: groups * GROUP].reshape(GROUP, groups).max(axis=0)
    lowest = np.partition(maxima, groups - count)[groups - count]
    places = np.flatnonzero(numbers >= lowest)
    return places[_largest(numbers[places], count)] if len(places) > count else places


def _largest(numbers: NDArray[Any], count: int) -> NDArray[np.intp]:
    threshold = np.partition(numbers, len(numbers) - count)[len(numbers) - count]
    above = np.flatnonzero(numbers > threshold)
    equal = np.flatnonzero(numbers == threshold)[: count - len(above)]
    return np.sort(np.concatenate((above, equal)))
