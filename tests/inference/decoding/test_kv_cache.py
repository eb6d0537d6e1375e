from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from turnwise.errors import InvariantError
from turnwise.inference.decoding.block_span import BlockSpan
from turnwise.inference.decoding.kv_cache import InPlaceKv, KvBlocks
from turnwise.inference.decoding.slab import HostSlab, KvShape, SlabSpan, new_slab
from turnwise.inference.plans.kv_sizes import BLOCK_TOKENS

SHAPE = KvShape(("k", "v"), ("nk", "nv"), 2, 4, np.dtype(np.float32))


class Recorded:
    """What a binding is told: name, rows, room and address."""

    def __init__(self) -> None:
        self.inputs: dict[str, tuple[tuple[int, ...], int]] = {}
        self.outputs: dict[str, tuple[tuple[int, ...], int]] = {}

    def bind_input(self, name: str, device: str, number: int, kind: object, shape: tuple[int, ...], at: int) -> None:
        self.inputs[name] = shape, at

    def bind_output(self, name: str, device: str, number: int, kind: object, shape: tuple[int, ...], at: int) -> None:
        self.outputs[name] = shape, at


def view(kv: InPlaceKv, row: int, start: int, count: int) -> NDArray[Any]:
    assert isinstance(kv.slab, HostSlab)
    return kv.slab.view(SlabSpan(row, start, count))


def filled(kv: InPlaceKv, lengths: list[int]) -> None:
    for row, length in enumerate(lengths):
        for place in range(length):
            view(kv, row, place, 1)[:] = 100 * row + place


def holds(kv: InPlaceKv, row: int, values: list[int]) -> bool:
    return bool((view(kv, row, 0, len(values)) == np.array(values, np.float32)[:, None]).all())


def test_rows_keep_what_they_hold_when_they_grow() -> None:
    kv = InPlaceKv(SHAPE, None, 4, 1024)
    kv.reserve(2, 64, [0] * 4)
    filled(kv, [3, 5])
    before = kv.version
    kv.reserve(3, 64, [3, 5, 0, 0])
    assert kv.version == before, "there is room for as many rows as may be"
    kv.reserve(3, 200, [3, 5, 0, 0])
    assert kv.version > before
    assert holds(kv, 0, [0, 1, 2])
    assert holds(kv, 1, [100, 101, 102, 103, 104])
    with pytest.raises(InvariantError):
        kv.reserve(4, 320, [3, 5, 0, 0])
    with pytest.raises(InvariantError):
        kv.reserve(5, 64, [0] * 4)


def test_rows_become_shorter_where_more_are_needed() -> None:
    kv = InPlaceKv(SHAPE, None, 4, 512)
    kv.reserve(1, 512, [0] * 4)
    filled(kv, [7])
    kv.reserve(4, 128, [7, 0, 0, 0])
    assert holds(kv, 0, list(range(7)))
    binding = Recorded()
    kv.bind(binding, range(4), 4, 7, 1)
    assert binding.inputs["k"][0] == (4, 2, 128, 4)


def test_rows_of_a_batch_follow_each_other_in_memory() -> None:
    kv = InPlaceKv(SHAPE, None, 4, 256)
    kv.reserve(4, 64, [0] * 4)
    filled(kv, [1, 1, 1])
    binding = Recorded()
    kv.bind(binding, [1], 2, 10, 1)
    assert binding.inputs["k"] == binding.outputs["nk"]
    (shape, address), (_, values) = binding.inputs["k"], binding.inputs["v"]
    assert shape == (2, 2, 64, 4)
    assert address == view(kv, 1, 0, 1)[0].ctypes.data
    assert values - address == 4 * 2 * 64 * 4 * 4


def test_a_row_moves() -> None:
    kv = InPlaceKv(SHAPE, None, 3, 192)
    kv.reserve(3, 64, [0] * 3)
    filled(kv, [2, 2, 4])
    kv.move(2, 0, 4)
    assert holds(kv, 0, [200, 201, 202, 203])
    assert holds(kv, 1, [100, 101])


def test_blocks_give_back_what_they_kept() -> None:
    kv = InPlaceKv(SHAPE, None, 2, 256)
    kv.reserve(2, 128, [0] * 2)
    filled(kv, [70, 0])
    blocks = KvBlocks(new_slab(SHAPE, 3, BLOCK_TOKENS, None))
    whole = [BlockSpan(2, 0, BLOCK_TOKENS), BlockSpan(0, BLOCK_TOKENS, BLOCK_TOKENS)]
    blocks.keep(kv, 0, whole, sum(span.count for span in whole))
    blocks.restore(kv, 1, [whole[0], BlockSpan(0, BLOCK_TOKENS, 5)])
    assert holds(kv, 1, list(range(BLOCK_TOKENS + 5)))
    assert not view(kv, 1, BLOCK_TOKENS + 5, 1).any()


LARGE = KvShape(("k", "v"), ("nk", "nv"), 2, 256, np.dtype(np.float32))
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is zero again on Linux only")


def ran(kv: InPlaceKv, row: int, length: int) -> None:
    kv.bind(Recorded(), [row], 1, length - 1, 1)
    view(kv, row, 0, length)[:] = row + 1


@linux
def test_a_row_that_is_nobodys_any_more_is_given_back() -> None:
    kv = InPlaceKv(LARGE, None, 4, 4096)
    kv.reserve(4, 1024, [0] * 4)
    for row in range(3):
        ran(kv, row, 1000)
    kv.clear(1)
    assert not view(kv, 1, 0, 1024).any()
    assert (view(kv, 0, 0, 1000) == 1).all()
    assert (view(kv, 2, 0, 1000) == 3).all()
    ran(kv, 1, 3)
    kv.clear(1)
    assert view(kv, 1, 0, 3).all(), "so little is not worth the calls"
    kv.move(2, 1, 1000)
    kv.clear(2)
    assert (view(kv, 1, 0, 1000) == 3).all()
    kv.clear(1)
    assert not view(kv, 1, 0, 1024).any(), "what was moved there counts"


@linux
def test_rows_that_grow_leave_their_old_memory_on_the_way() -> None:
    kv = InPlaceKv(LARGE, None, 4, 4096)
    kv.reserve(2, 64, [0] * 4)
    for row in range(2):
        ran(kv, row, 60)
    old = kv.slab
    assert isinstance(old, HostSlab)
    kv.reserve(2, 1024, [60, 60, 0, 0])
    assert not old.view(SlabSpan(0, 0, 60)).any()
    assert (view(kv, 0, 0, 60) == 1).all()
    assert (view(kv, 1, 0, 60) == 2).all()
    ran(kv, 1, 61)
    view(kv, 1, 0, 1024)[:] = 1
    kv.bind(Recorded(), [1], 1, 1000, 1)
    kv.clear(1)
    assert not view(kv, 1, 0, 1024).any()


@linux
def test_blocks_are_given_back_one_by_one_or_all() -> None:
    kv = InPlaceKv(LARGE, None, 1, 256)
    kv.reserve(1, 256, [0])
    ran(kv, 0, 96)
    blocks = KvBlocks(new_slab(LARGE, 3, BLOCK_TOKENS, None))
    spans = [BlockSpan(block, block * BLOCK_TOKENS, BLOCK_TOKENS) for block in range(3)]
    blocks.keep(kv, 0, spans, sum(span.count for span in spans))
    blocks.give_back([1])
    blocks.restore(kv, 0, spans)
    assert [bool(view(kv, 0, span.start, span.count).any()) for span in spans] == [True, False, True]
    blocks.give_back()
    blocks.restore(kv, 0, spans)
    assert not view(kv, 0, 0, 96).any()
