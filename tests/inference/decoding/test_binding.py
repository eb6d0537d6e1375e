from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference import toy
from tests.inference.fake_device import FakeDevice, FakeSession
from turnwise.inference.decoding.binding import Binding
from turnwise.inference.onnx.runtime import ort

SHAPE = (1, 3)


@pytest.fixture
def session(tmp_path: Path) -> Any:
    """`logits` of the token `t` are row `t` of a table."""
    table = np.arange(toy.VOCABULARY * 4, dtype=np.float32).reshape(toy.VOCABULARY, 4)
    graph = toy.Graph()
    graph.inputs = [toy.value("ids", toy.INT64, ["batch", "new"])]
    graph.outputs = [toy.value("logits", toy.FLOAT, ["batch", "new", 4])]
    graph.tensors = [toy.tensor("table", table)]
    graph.nodes = [toy.node("Gather", ["table", "ids"], ["logits"], axis=0)]
    return ort.InferenceSession(graph.model())


def rows(ids: list[int]) -> list[list[float]]:
    return [[4.0 * token + place for place in range(4)] for token in ids]


@pytest.mark.parametrize("where", ["host", "device", "device that is not addressed"])
def test_what_is_written_after_binding_is_read(session: Any, where: str) -> None:
    if where == "host":
        binding = Binding(session, on_host=True)
    else:
        device = FakeDevice()
        addressed = device if where == "device" else None
        binding = Binding(FakeSession(session, device), on_host=False, device=addressed)
    ids, logits = np.zeros(3, np.int64), np.zeros(12, np.float32)
    binding.read("ids", ids, SHAPE)
    binding.write("logits", logits, (1, 3, 4))
    for wanted in ([1, 2, 3], [7, 0, 9]):
        ids[:] = wanted
        binding.run()
        assert logits.reshape(3, 4).tolist() == rows(wanted)


def test_a_device_reads_what_lay_there_when_it_was_bound(session: Any) -> None:
    """The control: without binding again, the fake gives what a device gives."""
    device = FakeDevice()
    fake = FakeSession(session, device)
    raw = fake.io_binding()
    ids, logits = np.array([1, 2, 3]), np.zeros(12, np.float32)
    raw.bind_input("ids", "cpu", 0, np.int64, SHAPE, ids.ctypes.data)
    raw.bind_output("logits", "cpu", 0, np.float32, (1, 3, 4), logits.ctypes.data)
    ids[:] = [7, 0, 9]
    fake.run_with_iobinding(raw)
    assert logits.reshape(3, 4).tolist() == rows([1, 2, 3])


def test_only_the_wanted_position_comes_from_the_device(session: Any) -> None:
    device = FakeDevice()
    binding = Binding(FakeSession(session, device), on_host=False, device=device)
    ids = np.array([5, 6, 7, 8, 9, 10])
    binding.read("ids", ids, (2, 3))
    binding.write_there("logits", np.dtype(np.float32), (2, 3, 4))
    binding.run()
    into = np.full(12, -1, np.float32)
    assert binding.fetch("logits", 2, 1, into).tolist() == rows([6, 9])
    assert binding.fetch("logits", 1, 2, into).tolist() == rows([7])
    assert (into[8:] == -1).all()


def test_output_memory_on_the_device_is_used_again(session: Any) -> None:
    device = FakeDevice()
    binding = Binding(FakeSession(session, device), on_host=False, device=device)
    free = device.free_bytes()
    binding.write_there("logits", np.dtype(np.float32), (4, 3, 4))
    taken = free - device.free_bytes()
    binding.write_there("logits", np.dtype(np.float32), (2, 3, 4))
    assert taken == 4 * 3 * 4 * 4
    assert free - device.free_bytes() == taken
    del binding
    assert device.free_bytes() == free
