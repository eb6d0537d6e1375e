"""Groups of equally long rows: what each row holds stays with it, whoever joins and leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from numpy.typing import NDArray

from tests.inference.fake_device import FakeDevice
from turnwise.errors import InvariantError
from turnwise.inference.decoding.growing_kv_cache import GrowingKv, Memory, memory_size
from turnwise.inference.decoding.slab import KvShape

SHAPE = KvShape(("k", "v"), ("nk", "nv"), 2, 3, np.dtype(np.float32))


class Bound:
    """A graph that writes behind each row's past what it is told: it reads and writes the addresses it was given."""

    def __init__(self) -> None:
        self.tensors: dict[str, NDArray[Any]] = {}

    def bind_input(self, name: str, device: str, number: int, kind: Any, shape: tuple[int, ...], at: int) -> None:
        size = int(np.prod(shape))
        memory = np.ctypeslib.as_array((np.ctypeslib.as_ctypes_type(kind) * size).from_address(at))
        self.tensors[name] = memory.reshape(shape)

    bind_output = bind_input

    def run(self, new: NDArray[Any]) -> None:
        """`new`: a number for each row and new position."""
        for past, present in zip(SHAPE.past, SHAPE.present, strict=True):
            before, after = self.tensors[past], self.tensors[present]
            rows, held = len(new), before.shape[2]
            after[:rows, :, :held] = before[:rows]
            after[:rows, :, held:] = new[:, None, :, None]
            after[rows:] = np.nan  # whose row it is, nobody knows


def append(kv: GrowingKv, rows: list[int], past: int, numbers: dict[int, list[int]], count: int | None = None) -> None:
    lying = list(kv.gather(rows))
    binding = Bound()
    new = np.array([numbers[row] for row in lying], np.float32)
    kv.bind(binding, lying, count or len(lying), past, new.shape[1])
    binding.run(new)
    kv.done()


def held(kv: GrowingKv, row: int, length: int) -> list[int]:
    found = kv.positions(row, 0, length)
    assert found.shape == (2, 2, length, 3)
    assert (found == found[:1, :1, :, :1]).all()
    return [int(number) for number in found[0, 0, :, 0]]


def test_present_is_the_next_past() -> None:
    kv = GrowingKv(SHAPE, None)
    append(kv, [0], 0, {0: [1, 2, 3]})
    append(kv, [0], 3, {0: [4]})
    assert held(kv, 0, 4) == [1, 2, 3, 4]


def test_a_group_takes_turns_between_two_memories() -> None:
    kv = GrowingKv(SHAPE, None)
    append(kv, [0], 0, {0: [1, 2]})
    addresses = set()
    for past in range(2, 40):
        append(kv, [0], past, {0: [past]})
        addresses.add(kv.positions(0, 0, 1).ctypes.data)
    assert len(addresses) == 2


def test_rows_that_go_on_together_are_not_copied() -> None:
    kv = GrowingKv(SHAPE, None)
    for row in range(3):
        append(kv, [row], 0, {row: [row, 10 + row]})
    append(kv, [2, 0, 1], 2, {0: [20], 1: [21], 2: [22]})
    lying = list(kv.gather([0, 1, 2]))
    where = kv.positions(lying[0], 0, 1).ctypes.data
    assert list(kv.gather([1, 2, 0])) == lying
    assert kv.positions(lying[0], 0, 1).ctypes.data == where
    assert [held(kv, row, 3) for row in range(3)] == [[0, 10, 20], [1, 11, 21], [2, 12, 22]]


def test_rows_of_different_length_do_not_go_together() -> None:
    kv = GrowingKv(SHAPE, None)
    append(kv, [0], 0, {0: [1]})
    append(kv, [1], 0, {1: [1, 2]})
    with pytest.raises(InvariantError, match="not equally long"):
        kv.gather([0, 1])
    with pytest.raises(InvariantError, match="not equally long"):
        kv.gather([0, 5])
    with pytest.raises(InvariantError, match="do not lie together"):
        kv.bind(Bound(), [0], 1, 2, 1)


def test_what_fails_leaves_everything_as_it_was() -> None:
    kv = GrowingKv(SHAPE, None, spare=1)
    append(kv, [0], 0, {0: [1, 2]})
    append(kv, [1], 0, {1: [3, 4]})
    lying = list(kv.gather([0, 1]))
    binding = Bound()
    kv.bind(binding, lying, 2, 2, 1)
    binding.run(np.full((2, 1), 99, np.float32))  # and then it fails
    assert [held(kv, row, 2) for row in (0, 1)] == [[1, 2], [3, 4]]
    append(kv, [1], 2, {1: [5]}, count=2)
    assert (held(kv, 0, 2), held(kv, 1, 3)) == ([1, 2], [3, 4, 5])


def test_what_is_too_much_is_trimmed() -> None:
    kv = GrowingKv(SHAPE, None, spare=1)
    append(kv, [0], 0, {0: [1, 2, 3, 9]})
    kv.trim(0, 3)
    append(kv, [0], 3, {0: [4]}, count=2)
    assert held(kv, 0, 4) == [1, 2, 3, 4]


def test_memory_is_of_few_sizes_and_none_is_much_too_large() -> None:
    sizes = [memory_size(positions) for positions in range(1, 5000)]
    assert all(positions <= size <= max(64, positions * 9 / 8) for positions, size in enumerate(sizes, 1))
    assert len(set(sizes)) < 60


@pytest.mark.parametrize("spare", [0, 1])
def test_a_group_that_has_shrunk_gives_its_memory_back(spare: int) -> None:
    kv = GrowingKv(SHAPE, None, spare)
    rows = list(range(8))
    append(kv, rows, 0, {row: [row] * 100 for row in rows})

    def positions() -> int:
        owner = kv.positions(0, 0, 1).base
        assert isinstance(owner, np.ndarray)
        return owner.size // (2 * 2 * 3)  # tensors, heads, numbers of a head

    large = positions()
    assert large == memory_size((8 + spare) * 100)
    kv.reserve(8, 101, [100] * 8)
    assert positions() == large
    for row in rows[1:]:
        kv.clear(row)
    kv.reserve(1, 101, [100])
    assert positions() == memory_size((1 + spare) * 100)
    assert held(kv, 0, 100) == [0] * 100


def test_rows_on_a_device_are_not_copied() -> None:
    memory = Memory(SHAPE, 64, FakeDevice())
    with pytest.raises(InvariantError, match="cannot be copied"):
        memory.view(1, 1)


class GrowingMachine(RuleBasedStateMachine):
    """Rows come, go, are renamed and run in any groups of equal length; each holds what was appended to it."""

    ROWS = 6

    def __init__(self) -> None:
        super().__init__()
        self.kv = GrowingKv(SHAPE, None, spare=1)
        self.rows: dict[int, list[int]] = {}
        self.next = 0

    def numbers(self, count: int) -> list[int]:
        self.next += count
        return list(range(self.next - count, self.next))

    @rule(row=st.integers(0, ROWS - 1), count=st.integers(1, 3))
    def prefill(self, row: int, count: int) -> None:
        self.kv.clear(row)
        self.kv.reserve(self.ROWS, 64, [])
        self.rows[row] = self.numbers(count)
        append(self.kv, [row], 0, {row: self.rows[row]})

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        past = len(data.draw(st.sampled_from(sorted(self.rows.values()))))
        equal = sorted(row for row, held in self.rows.items() if len(held) == past)
        chosen = data.draw(st.permutations(equal))[: data.draw(st.integers(1, len(equal)))]
        new = {row: self.numbers(data.draw(st.sampled_from([1, 1, 2])) if len(chosen) == 1 else 1) for row in chosen}
        append(self.kv, chosen, past, new, count=len(chosen) + len(chosen) % 2)
        for row, numbers in new.items():
            self.rows[row] = self.rows[row] + numbers

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(sorted(self.rows)))
        target = data.draw(st.integers(0, self.ROWS - 1))
        if source != target:
            self.kv.move(source, target, len(self.rows[source]))
            self.rows[target] = self.rows.pop(source)

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def clear(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(sorted(self.rows)))
        self.kv.clear(row)
        del self.rows[row]

    @rule(row=st.integers(0, ROWS - 1), length=st.integers(1, 4))
    def lay(self, row: int, length: int) -> None:
        self.kv.lay(row, length)
        self.rows[row] = self.numbers(length)
        self.kv.positions(row, 0, length)[:] = np.array(self.rows[row], np.float32)[:, None]

    @invariant()
    def all_is_there(self) -> None:
        for row, numbers in self.rows.items():
            assert held(self.kv, row, len(numbers)) == numbers


TestGrowingMachine = GrowingMachine.TestCase
TestGrowingMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
