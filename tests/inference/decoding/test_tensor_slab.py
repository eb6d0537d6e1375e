"""Copies of rows by the graph that does them on a device, here run by the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inference.fake_device import FakeTensors
from turnwise.errors import InvariantError
from turnwise.inference.decoding.slab import KvShape
from turnwise.inference.decoding.tensor_slab import RowCopies, TensorSlab


def shape(dtype: Any = np.float32) -> KvShape:
    return KvShape(("k", "v", "k2"), ("nk", "nv", "nk2"), 2, 4, np.dtype(dtype))


def filled(kv: KvShape, rows: int, room: int, device: FakeTensors, seed: int) -> TensorSlab:
    slab = TensorSlab(kv, rows, room, device)
    random = np.random.default_rng(seed)
    for tensor in slab.tensors:
        tensor.numpy()[:] = random.integers(0, 1000, (rows, 2, room, 4))
    return slab


def numbers(slab: TensorSlab) -> list[NDArray[Any]]:
    return [tensor.numpy().copy() for tensor in slab.tensors]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_are_copied_and_nothing_else_is_written(dtype: Any) -> None:
    kv, device = shape(dtype), FakeTensors()
    source, target = filled(kv, 3, 96, device, 1), filled(kv, 4, 64, device, 2)
    expected = numbers(target)
    for one, other in zip(expected, numbers(source), strict=True):
        one[3, :, :40], one[1, :, :40] = other[0, :, :40], other[2, :, :40]
    RowCopies(kv, device).rows(source, [0, 2], target, [3, 1], 40)
    assert all(np.array_equal(*pair) for pair in zip(numbers(target), expected, strict=True))


def test_rows_are_copied_within_a_slab() -> None:
    kv, device = shape(), FakeTensors()
    slab = filled(kv, 4, 64, device, 1)
    expected = numbers(slab)
    for one in expected:
        one[[1, 0], :, :64] = one[[2, 3], :, :64]
    RowCopies(kv, device).rows(slab, [2, 3], slab, [1, 0], 64)
    assert all(np.array_equal(*pair) for pair in zip(numbers(slab), expected, strict=True))


def test_a_row_is_cut_into_blocks_and_joined_again() -> None:
    kv, device = shape(), FakeTensors()
    rows, blocks, other = filled(kv, 2, 128, device, 1), filled(kv, 7, 32, device, 2), filled(kv, 2, 128, device, 3)
    copies = RowCopies(kv, device)
    before, row = numbers(blocks), numbers(rows)
    copies.cut(rows, 1, 32, blocks, [6, 2, 3])
    for now, then, held in zip(numbers(blocks), before, row, strict=True):
        for block, start in ((6, 32), (2, 64), (3, 96)):
            assert np.array_equal(now[block], held[1, :, start : start + 32])
        assert np.array_equal(now[[0, 1, 4, 5]], then[[0, 1, 4, 5]])
    joined = numbers(other)
    copies.join(blocks, [6, 2, 3], other, 0)
    for now, then, held in zip(numbers(other), joined, row, strict=True):
        assert np.array_equal(now[0, :, :96], held[1, :, 32:128])
        assert np.array_equal(now[0, :, 96:], then[0, :, 96:])
        assert np.array_equal(now[1], then[1])


def test_what_does_not_fit_is_not_copied() -> None:
    kv, device = shape(), FakeTensors()
    rows, blocks = filled(kv, 2, 64, device, 1), filled(kv, 3, 32, device, 2)
    copies = RowCopies(kv, device)
    for wrong in (
        lambda: copies.rows(rows, [2], rows, [0], 10),
        lambda: copies.rows(rows, [0], rows, [-1], 10),
        lambda: copies.rows(rows, [0, 1], rows, [1, 1], 10),
        lambda: copies.rows(rows, [0], rows, [1], 65),
        lambda: copies.cut(rows, 0, 32, blocks, [0, 1]),
        lambda: copies.join(blocks, [0, 1, 2], rows, 0),
        lambda: copies.join(blocks, [], rows, 0),
    ):
        with pytest.raises(InvariantError):
            wrong()
    assert device.copies == 0
