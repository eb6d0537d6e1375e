"""KV cache for attention that returns a `present` longer than its `past`: sequences of equal length share memory.

A graph of this kind takes a `past` [rows, heads, length, head_size] without gaps, and writes a `present` of the same
form with the new positions. So sequences run together only while they are equally long, and lie in groups: a group's
present is its past in the next run. Joining and leaving cost copies, of one row where the group's memory allows.

What a row holds, not where it lies or what lies around it, decides the bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from turnwise.errors import InvariantError
from turnwise.inference.decoding.slab import HostSlab, KvShape, Slab, SlabSpan
from turnwise.inference.onnx.device import Device, DeviceMemory, kind_of

POSITIONS_MIN: Final = 64
SIZES_A_DOUBLING: Final = 8


class Memory:
    """Memory of `positions` positions of all tensors, one tensor after the other. Not written to, it is not taken."""

    def __init__(self, shape: KvShape, positions: int, device: Device | None) -> None:
        self.positions = positions
        self._shape = shape
        self._each = shape.heads * positions * shape.head_size
        self._host: NDArray[Any] | None = None
        self._device: DeviceMemory | None = None
        if device is None:
            self._host = np.zeros(len(shape.past) * self._each, shape.dtype)
            self._address = int(self._host.ctypes.data)
        else:
            self._device = device.allocate(shape.bytes_per_token * positions)
            self._address = self._device.address

    def address(self, tensor: int) -> int:
        return self._address + tensor * self._each * self._shape.dtype.itemsize

    def view(self, rows: int, length: int) -> NDArray[Any]:
        """[tensors, rows, heads, length, head_size]: the beginning of each tensor's part."""
        if self._host is None:
            raise InvariantError("rows on a device cannot be copied")
        tensors, shape = len(self._shape.past), self._shape.shape(rows, length)
        parts: NDArray[Any] = self._host.reshape(tensors, self._each)[:, : prod(shape)]
        return parts.reshape(tensors, *shape)


@dataclass(slots=True, eq=False)
class _Group:
    """Sequences that lie together, by their rows, in the order in which they lie."""

    rows: list[int]
    length: int
    memory: Memory

    @property
    def view(self) -> NDArray[Any]:
        """[tensors, rows, heads, length, head_size]"""
        return self.memory.view(len(self.rows), self.length)


class GrowingKv:
    """Groups of sequences of equal length. `spare` is 1 where runs have an even number of rows: one may be nobody's.

    `device` is where the provider works (None: on the host). On a device, each sequence stays alone.
    """

    def __init__(self, shape: KvShape, device: Device | None, spare: int = 0) -> None:
        self.version = 0
        self._shape = shape
        self._device = device
        self._spare_rows = spare
        self._groups: dict[int, _Group] = {}
        self._unused: Memory | None = None
        self._running: _Group | None = None

    def reserve(self, rows: int, room: int, lengths: Sequence[int]) -> None:
        """Shrink groups whose memory is larger than their rows need. Allocation itself happens in `bind`."""
        for group in {id(group): group for group in self._groups.values()}.values():
            needed = memory_size((len(group.rows) + self._spare_rows) * group.length)
            if group.memory.positions > needed and self._device is None:
                self._relocate(group)

    def forget(self, positions_max: int) -> None:
        """Each run binds just what its sequences hold, so there is no layout to forget."""

    def clear(self, row: int) -> None:
        """The row is nobody's any more."""
        group = self._groups.pop(row, None)
        if group is None:
            return
        gap, last = group.rows.index(row), len(group.rows) - 1
        if gap < last:
            view = group.view
            view[:, gap] = view[:, last]
            group.rows[gap] = group.rows[last]
        group.rows.pop()
        if not group.rows:
            self._unused = group.memory

    def move(self, source: int, target: int, length: int) -> None:
        """Rename row `source` to `target`."""
        self.clear(target)
        group = self._groups.pop(source, None)
        if group is not None:
            group.rows[group.rows.index(source)] = target
            self._groups[target] = group

    def lay(self, row: int, length: int) -> None:
        """Room for the first `length` positions of a row; whoever calls fills them."""
        self.clear(row)
        self._groups[row] = _Group([row], length, self._take((1 + self._spare_rows) * length))

    def positions(self, row: int, start: int, count: int) -> NDArray[Any]:
        """A view [tensors, heads, count, head_size] of what a row holds."""
        group = self._groups[row]
        return group.view[:, group.rows.index(row), :, start : start + count]

    def keep(self, blocks: Slab, spans: list[tuple[SlabSpan, SlabSpan]], length: int) -> None:
        """Copy from spans of a row into spans of blocks."""
        for origin, target in spans:
            _host(blocks).view(target)[:] = self.positions(origin.row, origin.start, origin.count)

    def restore(self, blocks: Slab, spans: list[tuple[SlabSpan, SlabSpan]]) -> None:
        """Copy from spans of blocks into spans of rows."""
        for origin, target in spans:
            self.positions(target.row, target.start, target.count)[:] = _host(blocks).view(origin)

    def gather(self, rows: Sequence[int]) -> Sequence[int]:
        """Bring rows of equal length into a group of their own; the order in which they then lie there."""
        groups = list({id(group): group for row in rows if (group := self._groups.get(row))}.values())
        if not groups:
            return rows
        length = groups[0].length
        if any(group.length != length for group in groups) or not self._groups.keys() >= set(rows):
            raise InvariantError(f"rows {list(rows)} are not equally long")
        positions = (len(rows) + self._spare_rows) * length
        wanted = set(rows)
        whole = [group for group in groups if wanted.issuperset(group.rows)]
        target = max(whole, key=lambda group: len(group.rows), default=None)
        if target is not None and len(target.rows) == len(rows) and target.memory.positions >= positions:
            return target.rows
        if target is None or target.memory.positions < positions:
            target = _Group([], length, self._take(positions))
        joining = [row for group in groups if group is not target for row in reversed(group.rows) if row in wanted]
        view = target.memory.view(len(rows), length)
        for row in joining:
            view[:, len(target.rows)] = self.positions(row, 0, length)
            self.clear(row)
            target.rows.append(row)
            self._groups[row] = target
        return target.rows

    def bind(self, binding: Any, rows: Sequence[int], count: int, past: int, new: int) -> None:
        """Bind `count` rows, of which the first are `rows`, for a run that adds `new` positions to `past` ones.

        The rows must be a group, as `gather` makes it, or one that holds nothing yet. What is there stays as it is
        until the run is `done`.
        """
        group = self._groups.get(rows[0])
        if (past, list(rows)) != ((0, list(rows)) if group is None else (group.length, group.rows)):
            raise InvariantError(f"rows {list(rows)} do not lie together with {past} positions each")
        after = self._take(max(count, len(rows) + self._spare_rows) * (past + new))
        before = after if group is None else group.memory
        if before.positions < count * past:
            raise InvariantError(f"{count} rows of {past} positions do not fit {before.positions}")
        past_shape, present_shape = self._shape.shape(count, past), self._shape.shape(count, past + new)
        dtype, device = self._shape.dtype, kind_of(self._device)
        for index, (past_name, present_name) in enumerate(zip(self._shape.past, self._shape.present, strict=True)):
            binding.bind_input(past_name, device, 0, dtype, past_shape, before.address(index))
            binding.bind_output(present_name, device, 0, dtype, present_shape, after.address(index))
        self._running = _Group(list(rows), past + new, after)
        self.version += 1

    def done(self) -> None:
        """Take the present of the run as the rows' past from now on."""
        ran = self._running
        if ran is None:
            raise InvariantError("rows are bound before they are run")
        old = self._groups.get(ran.rows[0])
        self._unused = None if old is None else old.memory
        self._groups |= dict.fromkeys(ran.rows, ran)
        self._running = None

    def trim(self, row: int, length: int) -> None:
        """Forget what a row that lies alone holds beyond its first `length` positions."""
        group = self._groups[row]
        kept = self.positions(row, 0, length)
        memory = self._take((1 + self._spare_rows) * length)
        memory.view(1, length)[:, 0] = kept
        self._unused, group.memory, group.length = group.memory, memory, length

    def _relocate(self, group: _Group) -> None:
        held = group.view
        memory = self._take((len(group.rows) + self._spare_rows) * group.length)
        memory.view(len(group.rows), group.length)[:] = held
        group.memory, self._unused = memory, None

    def _take(self, positions: int) -> Memory:
        """Memory of the right size: what was used last, or new."""
        size = memory_size(positions)
        taken, self._unused = self._unused, None
        if taken is None or taken.positions != size:
            taken = None
            taken = Memory(self._shape, size, self._device)
        return taken


def _host(blocks: Slab) -> HostSlab:
    if not isinstance(blocks, HostSlab):
        raise InvariantError("rows on a device cannot be copied")
    return blocks


def memory_size(positions: int) -> int:
    """Of few sizes, so that two memories can take turns for a while, and none is more than an eighth too large."""
    step = POSITIONS_MIN // SIZES_A_DOUBLING
    while step * SIZES_A_DOUBLING * 2 <= positions:
        step *= 2
    return max(POSITIONS_MIN, -(-positions // step) * step)
