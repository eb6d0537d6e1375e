"""Memory of the KV cache, bound to the graph's `past` inputs and `present` outputs.

GroupQueryAttention appends in place: past and present are one buffer, and what lies beyond a sequence's length is
ignored. So many sequences share one slab, each in a row of its own, and a batch is a range of rows. For other attention
see `growing_kv_cache`.

The addresses, the length of the rows, and what lay in them before do not show in the bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from turnwise.errors import InvariantError
from turnwise.inference.decoding.block_span import BlockSpan
from turnwise.inference.decoding.memory_budget import ROUND_UP_TOKENS
from turnwise.inference.decoding.slab import KvShape, Slab, SlabSpan, new_slab
from turnwise.inference.onnx.device import Device, kind_of

GIVEN_BACK_BYTES_MIN: Final = 1024 * 1024
"""Size of what a row took, from which on it is given back: less is not worth the calls."""


class Kv(Protocol):
    """The KV cache of the sequences that run, each in a row. `version` changes when what is bound is out of date."""

    @property
    def version(self) -> int: ...

    def reserve(self, rows: int, room: int, lengths: Sequence[int]) -> None:
        """At least so many rows of `room` positions. The first `lengths[row]` positions of each row stay."""

    def forget(self, positions_max: int) -> None:
        """Lay the rows out anew, all empty, in at most so many positions (never more than at first)."""

    def clear(self, row: int) -> None:
        """The row is nobody's any more."""

    def keep(self, blocks: Any, spans: list[tuple[SlabSpan, SlabSpan]], length: int) -> None:
        """Copy from spans of a row that holds `length` positions into spans of blocks, which lie where the rows do."""

    def restore(self, blocks: Any, spans: list[tuple[SlabSpan, SlabSpan]]) -> None:
        """Copy from spans of blocks into spans of rows."""

    def bind(self, binding: Any, rows: Sequence[int], count: int, past: int, new: int) -> None:
        """Bind `count` rows, `rows` first, for a run that adds `new` positions to at most `past` ones."""

    def done(self) -> None:
        """Take note that what was bound has run."""

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of a row into another."""


class InPlaceKv:
    """Past and present at the same address: a slab [tensors, rows, heads, room, head_size].

    On the host there are as many of `rows_max` rows at once as fit into `positions_max` positions, since memory that is
    not written to is not taken: rows are laid out anew only where a sequence needs longer ones. What a row took is
    given back when it is nobody's any more. A device's memory is taken at once, so there the rows are twice as many
    whenever there are too few, and twice as long. `room` is the length of all of them, in positions.
    """

    def __init__(self, shape: KvShape, device: Device | None, rows_max: int, positions_max: int) -> None:
        self.version = 0
        self._shape = shape
        self._device = device
        self._rows_max = rows_max
        self._positions_max = positions_max
        self._slab: Slab | None = None
        self._rows = 0
        self.room = 0
        self._taken = [0] * rows_max

    @property
    def slab(self) -> Slab:
        """The memory in which the rows lie. They must have been reserved."""
        if self._slab is None:
            raise InvariantError("the engine reserves rows before it runs")
        return self._slab

    def reserve(self, rows: int, room: int, lengths: Sequence[int]) -> None:
        if rows <= self._rows and room <= self.room:
            return
        room = -(-room // ROUND_UP_TOKENS) * ROUND_UP_TOKENS
        if self._device is not None and rows * (longer := 1 << (room - 1).bit_length()) <= self._positions_max:
            room = longer
        if rows * self.room <= self._positions_max:
            room = max(room, self.room)
        if rows > self._rows_max or rows * room > self._positions_max:
            raise InvariantError(f"{rows} of {self._rows_max} rows, {room} of {self._positions_max} positions each")
        most = min(self._rows_max, self._positions_max // room)
        live = [SlabSpan(row, 0, length) for row, length in enumerate(lengths) if length and row < self._rows]
        old, self._slab = self._slab, None
        if self._device is not None:
            rows = min(most, 1 << (rows - 1).bit_length())
            if not live:
                old = None  # its memory is given back before more is taken
            new = new_slab(self._shape, rows, room, self._device)
        else:
            rows = most
            new = new_slab(self._shape, rows, room, None)
        self._taken = [0] * self._rows_max
        if live and old is not None:
            new.take(old, [(span, span) for span in live])
            for span in live:
                self._taken[span.row] = span.count
        self._slab = new
        self._rows, self.room = rows, room
        self.version += 1

    def forget(self, positions_max: int) -> None:
        if self._device is not None and positions_max == self._positions_max:
            return  # what lies there does not matter, and recorded runs know its address
        self._rows = self.room = 0
        self._positions_max = positions_max
        self.version += 1

    def bind(self, binding: Any, rows: Sequence[int], count: int, past: int, new: int) -> None:
        row, slab = rows[0], self.slab
        if row + count > self._rows or past + new > self.room:
            raise InvariantError(
                f"{count} rows from {row} on with {past + new} positions were not reserved",
                expected=f"at most {self._rows} rows of {self.room} positions",
            )
        kind, dtype = kind_of(self._device), self._shape.dtype
        shape = self._shape.shape(count, self.room)
        for index, (past_name, present_name) in enumerate(zip(self._shape.past, self._shape.present, strict=True)):
            address = slab.address(index, row)
            binding.bind_input(past_name, kind, 0, dtype, shape, address)
            binding.bind_output(present_name, kind, 0, dtype, shape, address)
        for one in range(row, row + count):
            self.took(one, past + new)

    def clear(self, row: int) -> None:
        """Give back what the row took, if that is much: what lies there does not matter."""
        if row < self._rows and self._taken[row] * self._shape.bytes_per_token >= GIVEN_BACK_BYTES_MIN:
            self.slab.give_back(row)
            self._taken[row] = 0

    def done(self) -> None:
        """Past and present are the same."""

    def move(self, source: int, target: int, length: int) -> None:
        if length:
            self.slab.copy(self.slab, [(SlabSpan(source, 0, length), SlabSpan(target, 0, length))])
            self.took(target, length)

    def keep(self, blocks: Slab, spans: list[tuple[SlabSpan, SlabSpan]], length: int) -> None:
        blocks.copy(self.slab, spans)

    def restore(self, blocks: Slab, spans: list[tuple[SlabSpan, SlabSpan]]) -> None:
        self.slab.copy(blocks, spans)
        for _, span in spans:
            self.took(span.row, span.start + span.count)

    def took(self, row: int, positions: int) -> None:
        """Take note that a row's first `positions` have been written to."""
        self._taken[row] = max(self._taken[row], positions)


class BlockMemory(Protocol):
    """A slab, as far as it is known to whoever copies from it and into it by `Kv` alone."""

    def give_back(self, row: int | None = None) -> None:
        """Give back the memory of a row (None: of all), where that can be done; what lies there then is of no use."""
        ...


class KvBlocks:
    """KV of prompts that were prefilled, in blocks of BLOCK_TOKENS positions, where the rows lie.

    `slab` has a row for each block. On the host it takes memory when something is kept in it, until it is given back.
    """

    def __init__(self, slab: BlockMemory) -> None:
        self._slab = slab

    def keep(self, kv: Kv, row: int, spans: Sequence[BlockSpan], length: int) -> None:
        """Copy from a row that holds `length` positions into blocks."""
        kv.keep(self._slab, [(there, here) for here, there in _pairs(row, spans)], length)

    def restore(self, kv: Kv, row: int, spans: Sequence[BlockSpan]) -> None:
        """Copy from blocks into a row."""
        kv.restore(self._slab, _pairs(row, spans))

    def give_back(self, blocks: Iterable[int] | None = None) -> None:
        """Give back the memory of blocks (None: of all) that hold nothing that is wanted any more."""
        if blocks is None:
            self._slab.give_back()
            return
        for block in blocks:
            self._slab.give_back(block)


def _pairs(row: int, spans: Sequence[BlockSpan]) -> list[tuple[SlabSpan, SlabSpan]]:
    """Of each span: where it lies in its block, and where in the row."""
    return [(SlabSpan(span.block, 0, span.count), SlabSpan(row, span.start, span.count)) for span in spans]
