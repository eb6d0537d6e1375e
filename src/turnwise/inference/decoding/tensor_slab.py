"""Rows of KV cache on a device that knows whole tensors only, and their copies, which never leave it.

A slab is one tensor [rows, heads, room, head_size] for each of the graph's. `RowCopies` runs a graph of our own on the
device, once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from turnwise.errors import InvariantError
from turnwise.inference.decoding.slab import KvShape
from turnwise.inference.onnx import copy_rows_graph as graph
from turnwise.inference.onnx.device_tensors import DeviceTensors, Tensor
from turnwise.inference.onnx.schema import DataType

_TYPES: Final = {np.dtype(np.float32): DataType.FLOAT, np.dtype(np.float16): DataType.HALF}


class TensorSlab:
    """`rows` of `room` positions each, in tensors of which only wholes are bound."""

    def __init__(self, shape: KvShape, rows: int, room: int, device: DeviceTensors) -> None:
        self.rows, self.room = rows, room
        self.tensors: tuple[Tensor, ...] = tuple(
            device.allocate(shape.shape(rows, room), shape.dtype) for _ in shape.past
        )

    def give_back(self, row: int | None = None) -> None:
        """Do nothing: a device gives memory and takes it back as a whole."""


class RowCopies:
    """Copies between slabs of one device."""

    def __init__(self, shape: KvShape, device: DeviceTensors) -> None:
        """Raises EnvironmentFailure if the device cannot copy rows."""
        self._shape = shape
        self._session = device.session(graph.copy_rows_graph(len(shape.past), _TYPES[shape.dtype]))

    def rows(self, source: TensorSlab, rows: Sequence[int], target: TensorSlab, to: Sequence[int], count: int) -> None:
        """Copy the first `count` positions of some rows; they may be of one slab."""
        size, heads = self._shape.head_size, self._shape.heads
        between = (1, len(rows) * heads, count, size)
        self._run(source, rows, 0, count, between, target, to, (len(rows), heads, count, size))

    def cut(self, source: TensorSlab, row: int, start: int, target: TensorSlab, to: Sequence[int]) -> None:
        """Copy what a row holds from `start` on into whole rows of a slab of shorter ones."""
        size, heads, each = self._shape.head_size, self._shape.heads, target.room
        stop = start + each * len(to)
        between = (heads, len(to), each, size)
        self._run(source, [row], start, stop, between, target, to, (len(to), heads, each, size))

    def join(self, source: TensorSlab, rows: Sequence[int], target: TensorSlab, to: int) -> None:
        """Copy whole rows of a slab of shorter ones, one after the other, to the beginning of a row."""
        size, heads, each = self._shape.head_size, self._shape.heads, source.room
        between = (len(rows), heads, each, size)
        self._run(source, rows, 0, each, between, target, [to], (1, heads, each * len(rows), size))

    def _run(
        self,
        source: TensorSlab,
        rows: Sequence[int],
        first: int,
        last: int,
        between: tuple[int, ...],
        target: TensorSlab,
        to: Sequence[int],
        put: tuple[int, ...],
    ) -> None:
        fits = 0 <= first < last <= source.room and put[2] <= target.room
        if not fits or not _among(rows, source.rows) or not _among(to, target.rows):
            raise InvariantError(
                f"rows {list(rows)}, positions {first} to {last}, to rows {list(to)} of {put[2]} positions",
                expected=f"{source.rows} rows of {source.room}, {target.rows} of {target.room}",
            )
        # Made for this run: a binding keeps its tensors, which may be given back after it.
        binding = self._session.io_binding()
        binding.bind_cpu_input(graph.FROM, np.array(rows, np.int32))
        binding.bind_cpu_input(graph.TO, np.array(to, np.int32).reshape(-1, 1, 1, 1))
        for name, numbers in (
            (graph.FIRST, [first]),
            (graph.LAST, [last]),
            (graph.BETWEEN, between),
            (graph.PUT, put),
        ):
            binding.bind_cpu_input(name, np.array(numbers, np.int64))
        for index, (taken, written) in enumerate(zip(source.tensors, target.tensors, strict=True)):
            binding.bind_ortvalue_input(graph.source(index), taken)
            binding.bind_ortvalue_input(graph.target(index), written)
            binding.bind_ortvalue_output(graph.result(index), written)
        self._session.run_with_iobinding(binding)


def _among(rows: Sequence[int], count: int) -> bool:
    return bool(rows) and min(rows) >= 0 and max(rows) < count and len(set(rows)) == len(rows)
