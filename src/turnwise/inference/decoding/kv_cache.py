"""Memory of the KV cache, bound to the graph's `past` inputs and `present` outputs.

GroupQueryAttention appends in place: past and present are one buffer, and what lies beyond a sequence's length is
ignored. So many sequences share one slab, each in a row of its own, and a batch is a range of rows. For other attention
see `growing`.

The addresses, the length of the rows, and what lay in them before do not show in the bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from turnwise.errors import InvariantError
from turnwise.inference.decoding.block_span import BlockSpan
from turnwise.inference.decoding.memory_budget import ROUND_UP_TOKENS
from turnwise.inference.onnx.runtime import ort
from turnwise.inference.plans.kv_sizes import BLOCK_TOKENS


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

    def shape(self, rows: int, positions: int) -> tuple[int, int, int, int]:
        return (rows, self.heads, positions, self.head_size)


class Kv(Protocol):
    """The KV cache of the sequences that run, each in a row. `version` changes when what is bound is out of date."""

    version: int

    def reserve(self, rows: int, room: int, lengths: Sequence[int]) -> None:
        """At least so many rows of `room` positions. The first `lengths[row]` positions of each row stay."""

    def forget(self, positions_max: int) -> None:
        """No row holds anything: lay them out anew, in at most so many positions (never more than at first)."""

    def clear(self, row: int) -> None:
        """The row is nobody's any more."""

    def positions(self, row: int, start: int, count: int) -> NDArray[Any]:
        """A view [tensors, heads, count, head_size] of what a row holds."""

    def bind(self, binding: Any, rows: Sequence[int], count: int, past: int, new: int) -> None:
        """Bind `count` rows, `rows` first, for a run that adds `new` positions to at most `past` ones."""

    def done(self) -> None:
        """What was bound has run."""

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of a row into another."""


class InPlaceKv:
    """Past and present at the same address: a slab [tensors, rows, heads, room, head_size].

    There are as many of `rows_max` rows at once as fit into `positions_max` positions, since memory that is not written
    to is not taken: rows are laid out anew only where a sequence needs longer ones. `device` is where the provider
    works: `cpu` or `cuda`. On a device rows cannot be copied, so there is one of them.
    """

    def __init__(self, shape: KvShape, device: str, rows_max: int, positions_max: int) -> None:
        self.version = 0
        self._shape = shape
        self._device = device
        self._rows_max = rows_max
        self._positions_max = positions_max
        self._owner: Any = None
        self._address = 0
        self._positions = 0
        self._rows = 0
        self._room = 0

    def reserve(self, rows: int, room: int, lengths: Sequence[int]) -> None:
        if rows <= self._rows and room <= self._room:
            return
        room = -(-room // ROUND_UP_TOKENS) * ROUND_UP_TOKENS
        if rows * self._room <= self._positions_max:
            room = max(room, self._room)
        if rows > self._rows_max or rows * room > self._positions_max:
            raise InvariantError(f"{rows} of {self._rows_max} rows, {room} of {self._positions_max} positions each")
        live = [(row, self._view[:, row, :, :length].copy()) for row, length in enumerate(lengths) if length]
        rows = min(self._rows_max, self._positions_max // room)
        if rows * room > self._positions:
            self._owner = None
            self._allocate(rows * room)
        self._rows, self._room = rows, room
        for row, kept in live:
            self._view[:, row, :, : kept.shape[2]] = kept
        self.version += 1

    def forget(self, positions_max: int) -> None:
        self._rows = self._room = 0
        self._positions_max = positions_max
        self.version += 1

    def bind(self, binding: Any, rows: Sequence[int], count: int, past: int, new: int) -> None:
        row = rows[0]
        assert row + count <= self._rows, "the engine reserves rows before it runs"
        assert past + new <= self._room, "the engine reserves room before it runs"
        one = self._shape.heads * self._room * self._shape.head_size * self._shape.dtype.itemsize
        shape = self._shape.shape(count, self._room)
        for index, (past_name, present_name) in enumerate(zip(self._shape.past, self._shape.present, strict=True)):
            address = self._address + (index * self._rows + row) * one
            binding.bind_input(past_name, self._device, 0, self._shape.dtype, shape, address)
            binding.bind_output(present_name, self._device, 0, self._shape.dtype, shape, address)

    def clear(self, row: int) -> None:
        """What lies there does not matter."""

    def done(self) -> None:
        """Past and present are the same."""

    def move(self, source: int, target: int, length: int) -> None:
        view = self._view
        view[:, target, :, :length] = view[:, source, :, :length]

    def positions(self, row: int, start: int, count: int) -> NDArray[Any]:
        """A view [tensors, heads, count, head_size] of what a row holds."""
        return self._view[:, row, :, start : start + count]

    @property
    def _view(self) -> NDArray[Any]:
        if self._device != "cpu":
            raise InvariantError("rows on a device cannot be copied")
        tensors, used = len(self._shape.past), self._rows * self._room
        flat: NDArray[Any] = self._owner[: tensors * used * self._shape.heads * self._shape.head_size]
        return flat.reshape(tensors, *self._shape.shape(self._rows, self._room))

    def _allocate(self, positions: int) -> None:
        self._positions = positions
        self._owner, self._address = allocate(self._shape, positions, self._device)


class KvBlocks:
    """KV of prompts that were prefilled, in blocks [block, tensors, heads, BLOCK_TOKENS, head_size]."""

    def __init__(self, shape: KvShape, blocks: int) -> None:
        self._memory = np.empty((blocks, len(shape.past), shape.heads, BLOCK_TOKENS, shape.head_size), shape.dtype)

    def keep(self, kv: Kv, row: int, spans: Sequence[BlockSpan]) -> None:
        """Copy from a row into blocks."""
        for span in spans:
            self._memory[span.block, :, :, : span.count] = kv.positions(row, span.start, span.count)

    def restore(self, kv: Kv, row: int, spans: Sequence[BlockSpan]) -> None:
        """Copy from blocks into a row."""
        for span in spans:
            kv.positions(row, span.start, span.count)[:] = self._memory[span.block, :, :, : span.count]


def allocate(shape: KvShape, positions: int, device: str) -> tuple[Any, int]:
    """Memory for all tensors of so many positions: what keeps it alive, and its address."""
    count = len(shape.past) * shape.heads * positions * shape.head_size
    if device == "cpu":
        memory = np.zeros(count, shape.dtype)
        return memory, int(memory.ctypes.data)
    value = ort.OrtValue.ortvalue_from_shape_and_type((count,), shape.dtype, device, 0)
    return value, value.data_ptr()
