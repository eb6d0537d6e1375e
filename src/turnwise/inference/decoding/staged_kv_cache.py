"""KV cache in rows on a device that knows whole tensors only (WebGPU): past and present are one tensor.

A step runs all rows of one slab, some of which may be nobody's. A prompt cannot run in a row of it, so it runs in a
slab of one row beside it, the stage, and is copied to its row when a step wants it there. A slab of one row is its own
stage.

Slabs have 1, 2, 4, 8, … rows: as few sizes of steps as that, so that all of them can be tried when a model is loaded.
A slab is laid out anew when there are too few rows, and when a quarter of them would do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from turnwise.errors import InvariantError
from turnwise.inference.decoding.memory_budget import ROUND_UP_TOKENS
from turnwise.inference.decoding.slab import KvShape, SlabSpan
from turnwise.inference.decoding.tensor_slab import RowCopies, TensorSlab
from turnwise.inference.onnx.device_tensors import DeviceTensors

SHRINK: Final = 4
"""Rows are laid out anew where so many times as few are enough."""

STAGED_COST: Final = 2
"""Memory of the slab and the stage together, in parts of that of the rows that are somebody's, at most."""


class StagedKv:
    """A slab of rows and a stage. At most `positions_max` positions are somebody's."""

    def __init__(self, shape: KvShape, device: DeviceTensors, rows_max: int, positions_max: int) -> None:
        self.version = 0
        self._shape = shape
        self._device = device
        self._copies = RowCopies(shape, device)
        self._rows_max = rows_max
        self._positions_max = positions_max
        self._slab: TensorSlab | None = None
        self._stage: TensorSlab | None = None
        self._staged: int | None = None

    @property
    def rows(self) -> int:
        """Number of rows of a step; 0 before any were reserved."""
        return 0 if self._slab is None else self._slab.rows

    def reserve(self, rows: int, room: int, lengths: Sequence[int]) -> None:
        slab = self._slab
        if slab is not None and rows <= slab.rows and room <= slab.room:
            return
        room = -(-room // ROUND_UP_TOKENS) * ROUND_UP_TOKENS
        if slab is not None and rows * slab.room <= self._positions_max:
            room = max(room, slab.room)
        if rows > self._rows_max or rows * room > self._positions_max:
            raise InvariantError(f"{rows} of {self._rows_max} rows, {room} of {self._positions_max} positions each")
        self._lay(power_of_two(max(rows, _live(lengths))), room, lengths)

    def forget(self, positions_max: int) -> None:
        self._slab = self._stage = self._staged = None
        self._positions_max = positions_max
        self.version += 1

    def clear(self, row: int) -> None:
        if self._staged == row:
            self._staged = None

    def begin_prompt(self, row: int, lengths: Sequence[int]) -> None:
        """Bring what the row holds to where a prompt can run."""
        slab = self._with_rows(row + 1, lengths)
        if slab.rows == 1 or self._staged == row:
            return
        self._unstage(lengths)
        stage = self._laid_stage()
        if lengths[row]:
            self._copies.rows(slab, [row], stage, [0], _rounded(lengths[row], slab.room))
        self._staged = row

    def begin_step(self, rows: int, lengths: Sequence[int]) -> int:
        """Bring what the first `rows` rows hold into the slab; return how many rows it has: all of them take part."""
        if self._staged is not None and self._staged < rows:
            self._unstage(lengths)
        slab = self._with_rows(rows, lengths)
        few = power_of_two(max(rows, _live(lengths)))
        if self._staged is None and few * SHRINK <= slab.rows:
            self._lay(few, slab.room, lengths)
        return self._reserved.rows

    def lay_few(self, rows: int, lengths: Sequence[int]) -> None:
        """Lay out no more rows than so many need, though it be only half of them that go."""
        few = power_of_two(max(rows, _live(lengths)))
        if few < self._reserved.rows:
            self._lay(few, self._reserved.room, lengths)

    def bind(self, binding: Any, rows: Sequence[int], count: int, past: int, new: int) -> None:
        row, slab = rows[0], self._reserved
        if count == 1 and slab.rows > 1:
            slab = self._laid_stage()
            lies = self._staged == row
        else:
            lies = row == 0 and count == slab.rows
        if not lies or past + new > slab.room:
            raise InvariantError(
                f"{count} rows from {row} on with {past + new} positions do not lie together",
                expected=f"{slab.rows} rows of {slab.room} positions, or row {self._staged}",
            )
        for past_name, present_name, tensor in zip(self._shape.past, self._shape.present, slab.tensors, strict=True):
            binding.bind_ortvalue_input(past_name, tensor)
            binding.bind_ortvalue_output(present_name, tensor)

    def done(self) -> None:
        """Past and present are the same."""

    def move(self, source: int, target: int, length: int) -> None:
        if self._staged == target:
            self._staged = None
        if self._staged == source:
            self._staged = target
        elif length:
            slab = self._reserved
            self._copies.rows(slab, [source], slab, [target], _rounded(length, slab.room))

    def keep(self, blocks: TensorSlab, spans: list[tuple[SlabSpan, SlabSpan]], length: int) -> None:
        for run in _runs(spans):
            row, start = run[0][0].row, run[0][0].start
            source, at = self._lying(row)
            self._copies.cut(source, at, start, blocks, [block.row for _, block in run])

    def restore(self, blocks: TensorSlab, spans: list[tuple[SlabSpan, SlabSpan]]) -> None:
        """Copy blocks, which follow each other from position 0 on, to where a row's prompt runs, if that is free."""
        rows = {span.row for _, span in spans}
        if len(rows) != 1 or spans[0][1].start or len(_runs([(span, block) for block, span in spans])) != 1:
            raise InvariantError("what is restored is the beginning of one row")
        row = rows.pop()
        if self._staged is None and self._reserved.rows > 1:
            self._laid_stage()
            self._staged = row
        target, at = self._lying(row)
        self._copies.join(blocks, [block.row for block, _ in spans], target, at)

    @property
    def _reserved(self) -> TensorSlab:
        if self._slab is None:
            raise InvariantError("the engine reserves rows before it runs")
        return self._slab

    def _with_rows(self, rows: int, lengths: Sequence[int]) -> TensorSlab:
        """Return the slab with at least so many rows: those of a sequence that holds nothing yet may be gone again."""
        if rows > self._reserved.rows:
            self._lay(power_of_two(rows), self._reserved.room, lengths)
        return self._reserved

    def _lying(self, row: int) -> tuple[TensorSlab, int]:
        """Find a row: the slab in which it lies, and the row there."""
        if self._staged == row and self._stage is not None:
            return self._stage, 0
        return self._reserved, row

    def _laid_stage(self) -> TensorSlab:
        room = self._reserved.room
        if self._stage is None or self._stage.room != room:
            self._stage = TensorSlab(self._shape, 1, room, self._device)
            self.version += 1
        return self._stage

    def _unstage(self, lengths: Sequence[int]) -> None:
        row, self._staged = self._staged, None
        if row is not None and lengths[row] and self._stage is not None:
            slab = self._reserved
            self._copies.rows(self._stage, [0], slab, [row], _rounded(lengths[row], slab.room))

    def _lay(self, rows: int, room: int, lengths: Sequence[int]) -> None:
        """Lay the rows out anew. What they hold stays, and the memory of the old ones is given back."""
        self._unstage(lengths)
        old, self._slab = self._slab, None
        live = [] if old is None else [row for row, length in enumerate(lengths[: old.rows]) if length]
        if not live:
            old = None  # its memory is given back before more is taken
        if rows == 1 or (self._stage is not None and self._stage.room != room):
            self._stage = None
        self._slab = TensorSlab(self._shape, rows, room, self._device)
        self.version += 1
        if old is not None:
            longest = max(lengths[row] for row in live)
            self._copies.rows(old, live, self._slab, live, _rounded(longest, min(old.room, room)))


def power_of_two(rows: int) -> int:
    """Return the least power of two that is not less."""
    return 1 << (rows - 1).bit_length()


def _live(lengths: Sequence[int]) -> int:
    """Return how many first rows there must be so that all that hold something are among them."""
    return max((row + 1 for row, length in enumerate(lengths) if length), default=1)


def _rounded(positions: int, room: int) -> int:
    """Return a number of positions that is one of few."""
    return min(-(-positions // ROUND_UP_TOKENS) * ROUND_UP_TOKENS, room)


def _runs(spans: list[tuple[SlabSpan, SlabSpan]]) -> list[list[tuple[SlabSpan, SlabSpan]]]:
    """Divide (span of a row, block) where the positions in the row do not follow each other."""
    runs = [[spans[0]]]
    for (before, _), pair in pairwise(spans):
        if pair[0].start == before.start + before.count and pair[0].row == before.row:
            runs[-1].append(pair)
        else:
            runs.append([pair])
    return runs
