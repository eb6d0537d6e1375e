"""KV cache of graphs some of whose layers look at a window of tokens only: these keep the window, the others all.

GroupQueryAttention with `sliding_window_cache` takes rows shorter than the sequence, and takes out of them what its
window has left behind. What lies where follows from the number of tokens alone (ONNX Runtime's operator documentation,
GroupQueryAttention, windowed KV cache): with a row of C positions and a window of W, the newest `resident(tokens)`
tokens lie at its beginning, in order, where C - W + 1 of them go at once whenever the row is full.

Where a token lies shows in the bits. So a prompt is run in pieces whose lengths follow from its own, as where pieces
show on a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from turnwise.errors import InvariantError
from turnwise.inference.decoding.kv_cache import InPlaceKv
from turnwise.inference.decoding.slab import HostSlab, KvShape, Slab, SlabSpan
from turnwise.inference.plans.kv_sizes import window_row_positions


class WindowedKv:
    """Rows on the host, each in two parts: of layers that keep a window of `window` tokens, and of the others.

    `windowed` are the names of the past inputs of the first.
    """

    def __init__(
        self, shape: KvShape, windowed: frozenset[str], window: int, rows_max: int, positions_max: int
    ) -> None:
        self._tensors = [index for index, name in enumerate(shape.past) if name in windowed]
        self._others = [index for index, name in enumerate(shape.past) if name not in windowed]
        self._window = window
        self._capacity = window_row_positions(window)
        self._shape = _part(shape, self._tensors)
        self._rows_max = rows_max
        self._slab: HostSlab | None = None
        self._whole = InPlaceKv(_part(shape, self._others), None, rows_max, positions_max) if self._others else None

    @property
    def version(self) -> int:
        """Version of what is bound: the part that keeps a window is never laid out anew."""
        return 0 if self._whole is None else self._whole.version

    @property
    def slab(self) -> HostSlab:
        """Memory of the rows that keep a window: not written to, it is not taken."""
        if self._slab is None:
            self._slab = HostSlab(self._shape, self._rows_max, self._capacity)
        return self._slab

    def resident(self, tokens: int) -> int:
        """Return how many of a sequence's tokens lie in its row, the newest ones."""
        return resident(tokens, self._capacity, self._window)

    def reserve(self, rows: int, room: int, lengths: Sequence[int]) -> None:
        """At least so many rows of `room` positions, where all are kept."""
        if rows > self._rows_max:
            raise InvariantError(f"{rows} of {self._rows_max} rows")
        if self._whole is not None:
            self._whole.reserve(rows, room, lengths)

    def forget(self, positions_max: int) -> None:
        """Lay the rows out anew, all empty."""
        if self._whole is not None:
            self._whole.forget(positions_max)

    def clear(self, row: int) -> None:
        """Give back what the row took."""
        if self._whole is not None:
            self._whole.clear(row)
        if self._slab is not None and row < self._rows_max:
            self._slab.give_back(row)

    def bind(self, binding: Any, rows: Sequence[int], count: int, past: int, new: int) -> None:
        """Bind `count` rows, from the first of `rows` on."""
        row, slab = rows[0], self.slab
        if row + count > self._rows_max:
            raise InvariantError(f"{count} rows from {row} on", expected=f"at most {self._rows_max}")
        if self._whole is not None:
            self._whole.bind(binding, rows, count, past, new)
        shape, dtype = self._shape.shape(count, self._capacity), self._shape.dtype
        for index, (past_name, present_name) in enumerate(zip(self._shape.past, self._shape.present, strict=True)):
            address = slab.address(index, row)
            binding.bind_input(past_name, "cpu", 0, dtype, shape, address)
            binding.bind_output(present_name, "cpu", 0, dtype, shape, address)

    def done(self) -> None:
        """Past and present are the same."""

    def move(self, source: int, target: int, length: int) -> None:
        """Copy what a row holds of its `length` tokens into another."""
        if not length:
            return
        if self._whole is not None:
            self._whole.move(source, target, length)
        held = self.resident(length)
        self.slab.copy(self.slab, [(SlabSpan(source, 0, held), SlabSpan(target, 0, held))])

    def retract(self, row: int, length: int) -> None:
        """Bring a row of `length` tokens into order to which one more was written, which does not count.

        If that one made room for itself, the window was moved to the beginning of the row, and goes back to its end.
        What lies before it then is out of the window.
        """
        before, after = self.resident(length), self.resident(length + 1)
        if after == before + 1:
            return
        view = self.slab.view(SlabSpan(row, 0, self._capacity))
        kept = after - 1
        view[:, :, before - kept : before] = view[:, :, :kept].copy()

    def keep(self, blocks: Slab, spans: list[tuple[SlabSpan, SlabSpan]], length: int) -> None:
        """Copy from spans of a row of `length` tokens, which it still holds, into spans of blocks."""
        first = length - self.resident(length)
        for origin, target in spans:
            if origin.start < first or origin.start + origin.count > length:
                raise InvariantError(f"{origin} of a row that holds {first} to {length}")
            there = _host(blocks).view(target)
            there[self._tensors] = self.slab.view(replace(origin, start=origin.start - first))
            if self._whole is not None:
                there[self._others] = _host(self._whole.slab).view(origin)

    def restore(self, blocks: Slab, spans: list[tuple[SlabSpan, SlabSpan]]) -> None:
        """Copy from spans of blocks into spans of an empty row, from its first position on."""
        length = max((target.start + target.count for _, target in spans), default=0)
        first = length - self.resident(length)
        for origin, target in spans:
            found = _host(blocks).view(origin)
            cut = max(0, first - target.start)
            if cut < target.count:
                into = SlabSpan(target.row, target.start + cut - first, target.count - cut)
                self.slab.view(into)[:] = found[self._tensors][:, :, cut:]
            if self._whole is not None:
                _host(self._whole.slab).view(target)[:] = found[self._others]
                self._whole.took(target.row, target.start + target.count)


def resident(tokens: int, capacity: int, window: int) -> int:
    """Return how many tokens of a sequence of `tokens` a row of `capacity` positions holds for a window."""
    if tokens <= capacity:
        return tokens
    at_once = capacity - window + 1
    return tokens - at_once * -(-(tokens - capacity) // at_once)


def _part(shape: KvShape, tensors: Sequence[int]) -> KvShape:
    past = tuple([shape.past[index] for index in tensors])
    return replace(shape, past=past, present=tuple([shape.present[index] for index in tensors]))


def _host(slab: Slab) -> HostSlab:
    if not isinstance(slab, HostSlab):
        raise InvariantError("windows are kept on the host")
    return slab
