"""Memory of the KV cache of one sequence, bound to the graph's `past` inputs and `present` outputs.

GroupQueryAttention appends in place: past and present are one buffer, and what lies beyond the sequence's length is
ignored. Other attention returns a `present` that is longer than `past` by the new tokens: two buffers take turns.

Each tensor is a contiguous [1, kv_heads, positions, head_size] at the beginning of its own part of the memory, so the
addresses and strides that a sequence sees depend on that sequence alone, not on those that were there before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from turnwise.inference.runtime import ort

ROUND_UP_TOKENS = 64


@dataclass(frozen=True, slots=True)
class KvShape:
    """Of all layers: names of `past` and `present`, in the same order, and what one of them holds."""

    past: tuple[str, ...]
    present: tuple[str, ...]
    heads: int
    head_size: int
    dtype: np.dtype[Any]

    @property
    def bytes_per_token(self) -> int:
        return len(self.past) * self.heads * self.head_size * self.dtype.itemsize

    def shape(self, positions: int) -> tuple[int, int, int, int]:
        return (1, self.heads, positions, self.head_size)


class Kv(Protocol):
    """The KV cache of the sequence that is running."""

    def begin(self, capacity: int) -> None:
        """Forget everything; room for `capacity` positions."""

    def bind(self, binding: Any, past: int, new: int) -> None:
        """Bind for a run that adds `new` positions to `past` ones."""


class InPlaceKv:
    """Past and present at the same address. `device` is where the provider works: `cpu` or `cuda`."""

    def __init__(self, shape: KvShape, device: str) -> None:
        self._shape = shape
        self._device = device
        self._addresses: list[int] = []
        self._owner: Any = None
        self._room = 0
        self._capacity = 0
        self._bound: Any = None

    def begin(self, capacity: int) -> None:
        self._capacity = -(-capacity // ROUND_UP_TOKENS) * ROUND_UP_TOKENS
        self._bound = None
        if self._capacity > self._room:
            self._room = self._capacity
            self._owner, self._addresses = _allocate(self._shape, self._room, len(self._shape.past), self._device)

    def bind(self, binding: Any, past: int, new: int) -> None:
        assert past + new <= self._capacity, "the engine reserves room before it runs"
        if self._bound is binding:
            return
        shape = self._shape.shape(self._capacity)
        for name, address in zip(self._shape.past, self._addresses, strict=True):
            binding.bind_input(name, self._device, 0, self._shape.dtype, shape, address)
        for name, address in zip(self._shape.present, self._addresses, strict=True):
            binding.bind_output(name, self._device, 0, self._shape.dtype, shape, address)
        self._bound = binding


class GrowingKv:
    """Past in one half of the memory, present in the other; after each run they change places."""

    def __init__(self, shape: KvShape, device: str) -> None:
        self._shape = shape
        self._device = device
        self._halves: tuple[Sequence[int], Sequence[int]] = ((), ())
        self._owner: Any = None
        self._room = 0

    def begin(self, capacity: int) -> None:
        if capacity > self._room:
            self._room = -(-capacity // ROUND_UP_TOKENS) * ROUND_UP_TOKENS
            count = len(self._shape.past)
            self._owner, addresses = _allocate(self._shape, self._room, 2 * count, self._device)
            self._halves = addresses[:count], addresses[count:]

    def bind(self, binding: Any, past: int, new: int) -> None:
        assert past + new <= self._room, "the engine reserves room before it runs"
        old, grown = self._halves
        before, after = self._shape.shape(past), self._shape.shape(past + new)
        for name, address in zip(self._shape.past, old, strict=True):
            binding.bind_input(name, self._device, 0, self._shape.dtype, before, address)
        for name, address in zip(self._shape.present, grown, strict=True):
            binding.bind_output(name, self._device, 0, self._shape.dtype, after, address)
        self._halves = grown, old


def _allocate(shape: KvShape, positions: int, count: int, device: str) -> tuple[Any, list[int]]:
    """Memory for `count` tensors of `positions`: what keeps it alive, and the address of each tensor."""
    one = shape.heads * positions * shape.head_size
    if device == "cpu":
        memory = np.zeros((count, one), shape.dtype)
        return memory, [int(memory[index].ctypes.data) for index in range(count)]
    value = ort.OrtValue.ortvalue_from_shape_and_type((count, one), shape.dtype, device, 0)
    return value, [value.data_ptr() + index * one * shape.dtype.itemsize for index in range(count)]
