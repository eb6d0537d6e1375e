"""Tensors on a real device, by the plugin (see `test_webgpu`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.inference.onnx import test_webgpu
from tests.inference.onnx.test_webgpu import system, told

__all__ = ["system"]

pytestmark = test_webgpu.pytestmark

SCRIPT = """
import json, sys
import numpy as np
from tests.inference.onnx.test_device_tensors import with_a_node_of_the_host
from turnwise.errors import EnvironmentFailure
from turnwise.inference.decoding.slab import KvShape
from turnwise.inference.decoding.tensor_slab import RowCopies, TensorSlab
from turnwise.inference.onnx.device_tensors import PluginTensors
from turnwise.inference.onnx.providers import installed
from turnwise.inference.onnx.runtime import ort
name = "WebGpuExecutionProvider"
device = PluginTensors(name, installed().plugin(name).devices[0])
kv = KvShape(("k", "v"), ("nk", "nv"), 2, 4, np.dtype(np.float32))
def put(slab, numbers):
    for tensor in slab.tensors:
        ort.copy_tensors([ort.OrtValue.ortvalue_from_numpy(numbers)], [tensor])
def held(slab):
    found = []
    for tensor in slab.tensors:
        here = ort.OrtValue.ortvalue_from_shape_and_type(tensor.shape(), np.float32)
        ort.copy_tensors([tensor], [here])
        found.append(here.numpy().copy())
    assert np.array_equal(*found)
    return found[0]
rows, blocks = TensorSlab(kv, 4, 128, device), TensorSlab(kv, 5, 32, device)
numbers = np.random.default_rng(1).random((4, 2, 128, 4), np.float32)
put(rows, numbers)
put(blocks, np.zeros((5, 2, 32, 4), np.float32))
copies = RowCopies(kv, device)
said = {}
copies.rows(rows, [3, 1], rows, [0, 2], 64)
numbers[[0, 2], :, :64] = numbers[[3, 1], :, :64]
said["rows"] = bool(np.array_equal(held(rows), numbers))
copies.cut(rows, 1, 32, blocks, [4, 0, 2])
copies.join(blocks, [4, 0, 2], rows, 3)
said["untouched"] = not held(blocks)[[1, 3]].any()
numbers[3, :, :96] = numbers[1, :, 32:]
said["blocks"] = bool(np.array_equal(held(rows), numbers))
try:
    device.session(with_a_node_of_the_host())
except EnvironmentFailure as error:
    said["apart"] = error.message
print(json.dumps(said))
"""


def with_a_node_of_the_host() -> bytes:
    """A graph with an operator that the provider has no kernel for."""
    from tests.inference.toy import FLOAT, Graph, node, value

    graph = Graph(inputs=[value("x", FLOAT, ["n"])], outputs=[value("y", FLOAT, ["n"])])
    graph.nodes = [node("Mul", ["x", "x"], ["z"]), node("Det", ["m"], ["d"]), node("Mul", ["z", "d"], ["y"])]
    graph.inputs.append(value("m", FLOAT, [2, 2]))
    return graph.model()


@pytest.fixture(scope="module")
def said(system: Path) -> dict[str, object]:
    return told(system, SCRIPT)[0]


def test_rows_and_blocks_are_copied_on_the_device(said: dict[str, object]) -> None:
    assert (said["rows"], said["untouched"], said["blocks"]) == (True, True, True)


def test_a_graph_that_would_leave_the_device_is_refused(said: dict[str, object]) -> None:
    assert said["apart"] == "webgpu has no Det to copy rows with"
