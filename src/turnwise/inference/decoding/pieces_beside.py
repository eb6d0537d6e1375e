"""Pieces of prompts that run in memory of their own, beside the rows.

A recorded run knows the addresses that it reads and writes, and each row has others. So a piece runs in one place for
each width of mask: what the row holds is copied there before, and what is new is copied back, both on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.decoding.call import Call
from turnwise.inference.decoding.kv_cache import InPlaceKv
from turnwise.inference.decoding.slab import KvShape, SlabSpan
from turnwise.inference.onnx.device import Device

MakeCall = Callable[[InPlaceKv], Call]


class PiecesBeside:
    """Pieces of `size` tokens. `make_call` makes what runs them on a cache of one row."""

    def __init__(self, shape: KvShape, device: Device | None, size: int, make_call: MakeCall) -> None:
        self._shape = shape
        self._device = device
        self._size = size
        self._make_call = make_call
        self._places: dict[int, tuple[InPlaceKv, Call]] = {}

    @property
    def widths(self) -> frozenset[int]:
        """Widths of mask for which there is a place."""
        return frozenset(self._places)

    def append(self, rows: InPlaceKv, row: int, past: int, ids: Sequence[int], width: int) -> NDArray[Any]:
        """Append tokens to a row that holds `past`: the logits [1, vocabulary] of the last, valid until the next run.

        They are filled up to the size of a piece; what is added is not copied back.
        """
        kv, call = self._place(width)
        new = len(ids)
        if past:
            kv.slab.copy(rows.slab, [(SlabSpan(row, 0, past), SlabSpan(0, 0, past))])
        call.prepare([0], 1, past, self._size)
        call.tokens[0, :new] = ids
        call.tokens[0, new:] = ids[-1]
        call.positions[0] = np.arange(past, past + self._size)
        call.mask_known = False
        call.mask_rows(np.array([past + self._size - 1]), width)
        logits = call.run(new - 1, 1)
        rows.slab.copy(kv.slab, [(SlabSpan(0, past, new), SlabSpan(row, past, new))])
        rows.took(row, past + new)
        return logits

    def _place(self, width: int) -> tuple[InPlaceKv, Call]:
        if width not in self._places:
            kv = InPlaceKv(self._shape, self._device, 1, width)
            kv.reserve(1, width, [])
            self._places[width] = kv, self._make_call(kv)
        return self._places[width]
