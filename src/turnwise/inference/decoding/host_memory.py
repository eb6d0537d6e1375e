"""Memory of the host that is taken where it is written to, and given back in parts.

A mapping of its own, so that what nobody needs any more can be given back to the system while the rest stays where it
is. What is read of a part that was given back does not matter to whoever gave it back; where the system does not take
it, it stays as it was.
"""

from __future__ import annotations

import mmap
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_FREE: Final[int | None] = getattr(mmap, "MADV_DONTNEED", None)
"""Advice that pages are not needed; None where it cannot be given."""


class HostMemory:
    """Bytes, zero at first. `numbers` is all of it as an array of `dtype`."""

    def __init__(self, count: int, dtype: np.dtype[Any]) -> None:
        size = max(1, count * dtype.itemsize)
        self.numbers: NDArray[Any]
        self._map: mmap.mmap | None = None
        if _FREE is None:
            self.numbers = np.zeros(count, dtype)
            return
        self._map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.numbers = np.frombuffer(self._map, dtype, count)

    @property
    def size_bytes(self) -> int:
        return int(self.numbers.nbytes)

    def give_back(self, start: int, count: int) -> None:
        """Give back the whole pages of `count` numbers from number `start` on."""
        if self._map is None or _FREE is None:
            return
        each, page = self.numbers.itemsize, mmap.PAGESIZE
        first = -(-start * each // page) * page
        last = (start + count) * each // page * page
        if first < last:
            self._map.madvise(_FREE, first, last - first)
