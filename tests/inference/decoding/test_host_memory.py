from __future__ import annotations

import mmap
import sys

import numpy as np
import pytest

from turnwise.inference.decoding.host_memory import HostMemory

FLOAT = np.dtype(np.float32)
PAGE = mmap.PAGESIZE // FLOAT.itemsize
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is zero again on Linux only")


def test_it_is_zero_and_can_be_written_to() -> None:
    memory = HostMemory(3 * PAGE + 5, FLOAT)
    assert memory.size_bytes == 4 * (3 * PAGE + 5)
    assert not memory.numbers.any()
    memory.numbers[-1] = 2.0
    assert memory.numbers.sum() == 2.0
    assert HostMemory(0, FLOAT).size_bytes == 0


@linux
def test_whole_pages_are_given_back_and_their_neighbours_stay() -> None:
    memory = HostMemory(8 * PAGE, FLOAT)
    memory.numbers[:] = 1.0
    memory.give_back(PAGE + 1, 3 * PAGE)
    assert memory.numbers[: 2 * PAGE].all()
    assert not memory.numbers[2 * PAGE : 4 * PAGE].any()
    assert memory.numbers[4 * PAGE :].all()
    memory.give_back(5, PAGE)  # no whole page
    assert memory.numbers[: 2 * PAGE].all()
    memory.numbers[2 * PAGE : 4 * PAGE] = 3.0
    assert memory.numbers.all()


def test_where_nothing_can_be_given_back_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwise.inference.decoding.host_memory._FREE", None)
    memory = HostMemory(4 * PAGE, FLOAT)
    memory.numbers[:] = 1.0
    memory.give_back(0, 4 * PAGE)
    assert memory.numbers.all()
