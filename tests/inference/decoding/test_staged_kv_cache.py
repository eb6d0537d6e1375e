from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.inference.fake_device import FakeTensors
from turnwise.errors import EnvironmentFailure, InvariantError
from turnwise.inference.decoding.block_span import BlockSpan
from turnwise.inference.decoding.kv_cache import KvBlocks
from turnwise.inference.decoding.slab import KvShape
from turnwise.inference.decoding.staged_kv_cache import StagedKv
from turnwise.inference.decoding.tensor_slab import TensorSlab
from turnwise.inference.engine.rows import KvRows
from turnwise.inference.plans.kv_sizes import BLOCK_TOKENS

SHAPE = KvShape(("k", "v"), ("nk", "nv"), 2, 4, np.dtype(np.float32))


class Recorded:
    """The tensors that a binding is told."""

    def __init__(self) -> None:
        self.inputs: dict[str, NDArray[Any]] = {}
        self.outputs: dict[str, NDArray[Any]] = {}

    def bind_ortvalue_input(self, name: str, tensor: Any) -> None:
        self.inputs[name] = tensor.numpy()

    def bind_ortvalue_output(self, name: str, tensor: Any) -> None:
        self.outputs[name] = tensor.numpy()


class Rows:
    """A cache whose rows are written as a graph would: each number says its row's owner and its position."""

    def __init__(self, rows_max: int = 8, positions_max: int = 1024, device: FakeTensors | None = None) -> None:
        self.device = device or FakeTensors()
        self.kv = StagedKv(SHAPE, self.device, rows_max, positions_max)
        self.lengths = [0] * rows_max
        self.owners = [0] * rows_max

    def reserve(self, rows: int, room: int) -> None:
        self.kv.reserve(rows, room, self.lengths)

    def prompt(self, row: int, count: int, owner: int) -> None:
        past, self.owners[row] = self.lengths[row], owner
        self.kv.begin_prompt(row, self.lengths)
        written = self._bound([row], 1, past, count)
        for array in written:
            array[0, :, past : past + count] = self._numbers(owner, past, count)
        self.lengths[row] += count

    def step(self, count: int) -> int:
        rows = self.kv.begin_step(count, self.lengths)
        for array in self._bound(range(rows), rows, max(self.lengths), 1):
            for row in range(rows):
                length = self.lengths[row]
                assert row >= count or self._held(array[row], row)
                array[row, :, length : length + 1] = self._numbers(self.owners[row] if row < count else -1, length, 1)
        for row in range(count):
            self.lengths[row] += 1
        return rows

    def holds(self) -> bool:
        """What the rows hold, when all of them are run."""
        count = max(row + 1 for row, length in enumerate(self.lengths) if length)
        rows = self.kv.begin_step(count, self.lengths)
        return all(
            self._held(array[row], row)
            for array in self._bound(range(rows), rows, max(self.lengths), 1)
            for row in range(count)
        )

    def _held(self, array: NDArray[Any], row: int) -> bool:
        length = self.lengths[row]
        return bool(np.array_equal(array[:, :length], self._numbers(self.owners[row], 0, length)))

    def _bound(self, rows: Any, count: int, past: int, new: int) -> list[NDArray[Any]]:
        binding = Recorded()
        self.kv.bind(binding, rows, count, past, new)
        assert [binding.inputs[name].ctypes.data for name in SHAPE.past] == [
            binding.outputs[name].ctypes.data for name in SHAPE.present
        ]
        assert all(array.shape[0] == count for array in binding.inputs.values())
        return list(binding.inputs.values())

    @staticmethod
    def _numbers(owner: int, start: int, count: int) -> NDArray[Any]:
        return np.broadcast_to((1000.0 * owner + np.arange(start, start + count))[None, :, None], (2, count, 4))


def test_one_row_is_its_own_stage() -> None:
    rows = Rows()
    rows.reserve(1, 64)
    rows.prompt(0, 5, 1)
    assert rows.step(1) == 1
    assert rows.holds()
    assert rows.device.copies == 0


def test_a_prompt_comes_to_its_row_when_a_step_wants_it() -> None:
    rows = Rows()
    rows.reserve(3, 64)
    rows.prompt(0, 5, 1)
    rows.prompt(1, 40, 2)
    before = rows.device.copies
    rows.prompt(1, 7, 2)
    assert rows.device.copies == before, "its next piece runs where it lies"
    assert rows.step(1) == 4
    assert rows.device.copies == before, "and a step of others leaves it there"
    rows.prompt(1, 3, 2)
    rows.step(2)
    rows.prompt(2, 9, 3)
    rows.prompt(0, 4, 1)
    rows.step(3)
    assert rows.holds()


def test_rows_grow_in_number_and_in_length() -> None:
    rows = Rows()
    rows.reserve(1, 64)
    rows.prompt(0, 20, 1)
    rows.reserve(2, 64)
    rows.prompt(1, 30, 2)
    rows.reserve(3, 100)
    rows.prompt(2, 90, 3)
    assert rows.step(3) == 4
    assert rows.holds()
    with pytest.raises(InvariantError):
        rows.reserve(9, 64)
    with pytest.raises(InvariantError):
        rows.reserve(8, 192)


def test_rows_become_few_when_few_are_left() -> None:
    rows = Rows()
    rows.reserve(8, 64)
    for row in range(8):
        rows.prompt(row, 10 + row, row)
    assert rows.step(8) == 8
    most = rows.device.taken_bytes
    for row in range(2, 8):
        rows.kv.clear(row)
        rows.lengths[row] = 0
    assert rows.step(2) == 2
    assert rows.holds()
    assert rows.device.taken_bytes < most / 2
    rows.kv.clear(1)
    rows.lengths[1] = 0
    assert rows.step(1) == 2, "not for one of two: it would come and go"


def test_a_row_that_was_reserved_and_holds_nothing_comes_back() -> None:
    """A step of others may come between."""
    rows = Rows()
    rows.reserve(8, 64)
    rows.prompt(0, 10, 1)
    assert rows.step(1) == 1
    rows.prompt(5, 20, 2)
    assert rows.step(1) == 8
    assert rows.holds()
    rows.kv.clear(5)
    rows.lengths[5] = 0
    assert rows.step(1) == 1
    rows.lengths[2] = 0
    assert rows.kv.begin_step(3, rows.lengths) == 4
    assert rows.holds()


def test_rows_move() -> None:
    rows = Rows()
    rows.reserve(4, 64)
    for row in range(4):
        rows.prompt(row, 10 + row, row + 1)

    def move(source: int, target: int) -> None:
        rows.kv.move(source, target, rows.lengths[source])
        rows.lengths[target], rows.owners[target] = rows.lengths[source], rows.owners[source]
        rows.kv.clear(source)
        rows.lengths[source] = 0

    before = rows.device.copies
    move(3, 0)
    assert rows.device.copies == before, "the one that lies in the stage only changes its name"
    move(2, 1)
    assert rows.device.copies == before + 1
    assert rows.lengths[:4] == [13, 12, 0, 0]
    assert rows.holds()
    rows.prompt(2, 6, 9)
    rows.kv.clear(2)
    rows.lengths[2] = 0
    rows.prompt(2, 3, 8)
    assert rows.holds()


def test_blocks_are_kept_and_come_back() -> None:
    rows = Rows()
    blocks = KvBlocks(TensorSlab(SHAPE, 5, BLOCK_TOKENS, rows.device))
    rows.reserve(2, 192)
    rows.prompt(0, 70, 1)
    rows.prompt(1, 130, 1)
    spans = [BlockSpan(4, 0, 32), BlockSpan(1, 32, 32), BlockSpan(3, 96, 32)]
    blocks.keep(rows.kv, 1, spans, 130)
    blocks.keep(rows.kv, 0, [BlockSpan(0, 0, 32), BlockSpan(2, 32, 32)], 70)
    for row in (0, 1):
        rows.kv.clear(row)
        rows.lengths[row] = 0
    rows.prompt(0, 10, 7)
    rows.step(1)
    rows.lengths[1], rows.owners[1] = 52, 1
    blocks.restore(rows.kv, 1, [BlockSpan(4, 0, 32), BlockSpan(2, 32, 20)])
    rows.prompt(1, 20, 1)
    assert rows.step(2) == 2
    assert rows.holds()
    with pytest.raises(InvariantError, match="beginning of one row"):
        blocks.restore(rows.kv, 1, [BlockSpan(4, 32, 32)])


def test_memory_is_given_back() -> None:
    device = FakeTensors()
    rows = Rows(device=device)
    rows.reserve(8, 128)
    rows.prompt(3, 100, 1)
    assert device.taken_bytes == SHAPE.bytes_per_token * 128 * 9
    rows.kv.forget(1024)
    assert device.taken_bytes == 0
    device.memory_bytes = SHAPE.bytes_per_token * 64
    rows.lengths = [0] * 8
    rows.reserve(1, 64)
    with pytest.raises(EnvironmentFailure):
        rows.reserve(2, 64)


def test_what_was_not_brought_together_is_not_bound() -> None:
    rows = Rows()
    rows.reserve(4, 64)
    rows.prompt(1, 5, 1)
    for wrong in (([0], 1, 0, 5), (range(2), 2, 0, 1), ([1], 1, 60, 5)):
        with pytest.raises(InvariantError, match="do not lie together"):
            rows.kv.bind(Recorded(), *wrong)


class Served:
    """Sequences as an engine serves them: those that decode are the first rows, one more is being prefilled."""

    def __init__(self) -> None:
        self.rows = Rows(rows_max=8, positions_max=8 * 192)
        self.table = KvRows()
        self.blocks = KvBlocks(TensorSlab(SHAPE, 4, BLOCK_TOKENS, self.rows.device))
        self.kept: int | None = None
        self.next = 1
        self.prefilling: int | None = None

    def join(self, count: int) -> None:
        """Begin a sequence, with a kept beginning if there is one."""
        if self.prefilling is not None or len(self.table) == 7:
            return
        self.prefilling, self.next = self.next, self.next + 1
        row = self.table.enter(self.prefilling)
        self.rows.kv.clear(row)
        self.rows.reserve(len(self.table), 64 * (1 + count % 3))
        if self.kept is not None and count % 2:
            self.rows.lengths[row], self.rows.owners[row] = 40, self.kept
            self.blocks.restore(self.rows.kv, row, [BlockSpan(2, 0, 32), BlockSpan(1, 32, 8)])
            self.prefilling = None
            self.table.ready(self.next - 1)

    def piece(self, count: int) -> None:
        """Run a piece of the prompt that is begun, or of one that decodes; the prompt ends with an even piece."""
        row = len(self.table) - 1 if self.prefilling is not None else count % max(1, len(self.table))
        if row < 0 or row >= len(self.table) or self.rows.lengths[row] + count > 60:
            return
        owner = self.rows.owners[row] if self.rows.lengths[row] else self.next + 100
        self.rows.prompt(row, count, owner)
        if self.prefilling is not None and count % 2 == 0:
            self.table.ready(self.prefilling)
            self.prefilling = None

    def keep(self, count: int) -> None:
        """Keep the beginning of a row that is long enough."""
        for row, length in enumerate(self.rows.lengths):
            if length >= 64 or (length >= 40 and self.rows.kv.rows and length % 2 == count % 2):
                spans = [BlockSpan(2, 0, 32), BlockSpan(1, 32, 32)]
                self.blocks.keep(self.rows.kv, row, spans, length)
                self.kept = self.rows.owners[row]
                return

    def step(self, count: int) -> None:
        decoding = len(self.table.decoding)
        if decoding and max(self.rows.lengths) < 62:
            self.rows.step(decoding)

    def end(self, count: int) -> None:
        if not self.table.numbers:
            return
        number = self.table.numbers[count % len(self.table)]
        if number == self.prefilling:
            self.prefilling = None
        rows = self.rows
        for move in self.table.leave(number):
            rows.kv.move(move.source, move.target, rows.lengths[move.source])
            rows.lengths[move.target], rows.owners[move.target] = rows.lengths[move.source], rows.owners[move.source]
            rows.kv.clear(move.source)
            rows.lengths[move.source] = 0
        rows.kv.clear(len(self.table))
        rows.lengths[len(self.table)] = 0


WORK = st.tuples(
    st.sampled_from(["join", "join", "piece", "piece", "piece", "keep", "step", "end"]), st.integers(1, 30)
)


@settings(max_examples=150)
@given(st.lists(WORK, min_size=20, max_size=60))
def test_whoever_joins_and_ends_when_rows_hold_what_was_written(work: list[tuple[str, int]]) -> None:
    served = Served()
    for what, count in work:
        getattr(served, what)(count)
    assert not any(served.rows.lengths) or served.rows.holds()
