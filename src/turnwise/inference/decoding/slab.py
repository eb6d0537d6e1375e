"""Memory of KV cache in rows of equal room: [tensors, rows, heads, room, head_size], on the host or on a device.

What a row holds is copied to another row, of the same slab or of another of the same shape, without leaving the
device.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from turnwise.errors import InvariantError
from turnwise.inference.decoding.host_memory import HostMemory
from turnwise.inference.onnx.cuda_driver import Region
from turnwise.inference.onnx.device import Device, DeviceMemory


@dataclass(frozen=True, slots=True)
class KvShape:
    """KV cache of all layers.

    `past` and `present` are the names of the graph's inputs and outputs, in the same order. Each has `heads` vectors
    of `head_size` numbers of type `dtype` for a token.
    """

    past: tuple[str, ...]
    present: tuple[str, ...]
    heads: int
    head_size: int
    dtype: np.dtype[Any]

    @property
    def bytes_per_token(self) -> int:
        return len(self.past) * self.line_bytes * self.heads

    @property
    def line_bytes(self) -> int:
        """Bytes of one head of one token."""
        return self.head_size * self.dtype.itemsize

    def shape(self, rows: int, positions: int) -> tuple[int, int, int, int]:
        return (rows, self.heads, positions, self.head_size)


@dataclass(frozen=True, slots=True)
class SlabSpan:
    """`count` positions from `start` on of a `row`."""

    row: int
    start: int
    count: int


class Slab(Protocol):
    """Rows of KV cache. `rows` and `room` (positions of each) are what it was made with."""

    rows: int
    room: int

    def address(self, tensor: int, row: int) -> int:
        """Address at which a row of one tensor begins."""
        ...

    def copy(self, source: Any, spans: list[tuple[SlabSpan, SlabSpan]]) -> None:
        """Copy pairs (span of `source`, span of this) of equal length from a slab of the same kind."""
        ...

    def take(self, source: Any, spans: list[tuple[SlabSpan, SlabSpan]]) -> None:
        """Copy as `copy` does, from a slab that is not needed any more."""
        ...

    def give_back(self, row: int | None = None) -> None:
        """Give back the memory of a row (None: of all), where that can be done; what lies there then is of no use."""
        ...


class HostSlab:
    """In the host's memory: not written to, it is not taken."""

    def __init__(self, shape: KvShape, rows: int, room: int) -> None:
        self.rows, self.room = rows, room
        dims = (len(shape.past), *shape.shape(rows, room))
        self._row_numbers = prod(dims[2:])
        self._memory = HostMemory(prod(dims), shape.dtype)
        self._view = self._memory.numbers.reshape(dims)

    def address(self, tensor: int, row: int) -> int:
        return int(self._view[tensor, row].ctypes.data)

    def view(self, span: SlabSpan) -> NDArray[Any]:
        """[tensors, heads, count, head_size]: what a row holds."""
        return self._view[:, span.row, :, span.start : span.start + span.count]

    def copy(self, source: HostSlab, spans: list[tuple[SlabSpan, SlabSpan]]) -> None:
        for origin, target in spans:
            self.view(target)[:] = source.view(origin)

    def take(self, source: HostSlab, spans: list[tuple[SlabSpan, SlabSpan]]) -> None:
        """Copy from a slab that is not needed any more, whose memory is given back on the way.

        So the two of them take little more than one.
        """
        for tensor in range(len(self._view)):
            for origin, target in spans:
                to = self._view[tensor, target.row, :, target.start : target.start + target.count]
                to[:] = source._view[tensor, origin.row, :, origin.start : origin.start + origin.count]
            source._memory.give_back(tensor * source.rows * source._row_numbers, source.rows * source._row_numbers)

    def give_back(self, row: int | None = None) -> None:
        if row is None:
            self._memory.give_back(0, self._view.size)
            return
        for tensor in range(len(self._view)):
            self._memory.give_back((tensor * self.rows + row) * self._row_numbers, self._row_numbers)


class DeviceSlab:
    """On a device, where memory is taken at once."""

    def __init__(self, shape: KvShape, rows: int, room: int, device: Device) -> None:
        self.rows, self.room = rows, room
        self._shape = shape
        self._device = device
        self._memory: DeviceMemory = device.allocate(shape.bytes_per_token * rows * room)

    def address(self, tensor: int, row: int) -> int:
        return self._memory.address + (tensor * self.rows + row) * self._row_bytes

    def region(self, span: SlabSpan) -> Region:
        """The beginnings of a span in all tensors (planes) and heads (lines)."""
        if not (0 <= span.row < self.rows and span.start >= 0 and span.start + span.count <= self.room):
            raise InvariantError(f"{span} of a slab of {self.rows} rows of {self.room}")
        address = self.address(0, span.row) + span.start * self._shape.line_bytes
        return Region(address, self.room * self._shape.line_bytes, self.rows * self._row_bytes)

    def copy(self, source: DeviceSlab, spans: list[tuple[SlabSpan, SlabSpan]]) -> None:
        for origin, target in spans:
            self._device.copy(
                source.region(origin),
                self.region(target),
                len(self._shape.past),
                self._shape.heads,
                target.count * self._shape.line_bytes,
            )
        self._device.finish()

    def take(self, source: DeviceSlab, spans: list[tuple[SlabSpan, SlabSpan]]) -> None:
        self.copy(source, spans)

    def give_back(self, row: int | None = None) -> None:
        """Do nothing: a device gives memory and takes it back as a whole."""

    @property
    def _row_bytes(self) -> int:
        return self._shape.heads * self.room * self._shape.line_bytes


def new_slab(shape: KvShape, rows: int, room: int, device: Device | None) -> Slab:
    """A slab of zeros."""
    return HostSlab(shape, rows, room) if device is None else DeviceSlab(shape, rows, room, device)
