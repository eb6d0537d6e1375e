from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inference import toy
from turnwise.errors import ModelError
from turnwise.inference.onnx.graph_facts import ExternalTensor, read_graph


def write(path: Path, data: bytes) -> Path:
    path = path / "model.onnx"
    path.write_bytes(data)
    return path


def test_operators_are_counted_by_domain(tmp_path: Path) -> None:
    graph = read_graph(write(tmp_path, toy.attention_graph().model()))
    assert graph.operators["com.microsoft:GroupQueryAttention"] == 1
    assert graph.operators["MatMul"] == 5
    assert graph.external == []


def test_external_tensors_are_found_wherever_they_are(tmp_path: Path) -> None:
    def outside(name: str) -> bytes:
        return toy.external_tensor(name, [2, 3], location=f"{name}.bin", offset="64", length="24")

    inner = toy.message(5, outside("in-subgraph"))
    attributes = [
        toy.message(5, toy.message(1, "value"), toy.message(5, outside("in-attribute"))),
        toy.message(5, toy.message(1, "then"), toy.message(6, inner)),
        toy.message(5, toy.message(1, "sparse"), toy.message(22, toy.message(1, outside("in-sparse")))),
    ]
    node = toy.node("If", ["x"], ["y"]) + b"".join(attributes)
    graph = toy.Graph(nodes=[node], tensors=[outside("initializer")])
    function = toy.message(25, toy.message(1, "f"), toy.message(7, node))
    found = read_graph(write(tmp_path, graph.model() + function))
    names = [tensor.name for tensor in found.external]
    assert sorted(set(names)) == ["in-attribute", "in-sparse", "in-subgraph", "initializer"]
    assert found.external[-1].location.endswith(".bin")
    assert ExternalTensor("initializer", "initializer.bin", 64, 24) in found.external


def test_packed_dimensions(tmp_path: Path) -> None:
    tensor = toy.message(1, toy.varint(300), toy.varint(2)) + toy.number(2, toy.FLOAT) + toy.message(8, "w")
    tensor += toy.message(13, toy.message(1, "location"), toy.message(2, "w.bin")) + toy.number(14, 1)
    found = read_graph(write(tmp_path, toy.Graph(tensors=[tensor]).model()))
    assert found.external == [ExternalTensor("w", "w.bin", 0, 2400)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a model",
        b"\x00" * 100,
        b"\xff" * 100,
        toy.number(1, 8),
        toy.attention_graph().model()[:-100],
        toy.message(7, toy.message(1, b"\x23")),
        toy.message(7, toy.message(5, toy.external_tensor("w", [2**62, 2**62], location="w.bin"))),
        toy.message(7, toy.message(5, toy.external_tensor("w", [2], location="w.bin", offset="minus"))),
        toy.message(7, toy.message(5, toy.external_tensor("w", [2], location="w.bin", offset="-8"))),
        toy.message(7, toy.message(5, toy.external_tensor("w", [2], location="w.bin", length="4"))),
        toy.message(7, toy.message(5, toy.external_tensor("w", [1] * 65, location="w.bin"))),
        toy.message(7, toy.message(5, toy.message(1, b"\x01" * 10_000), toy.number(14, 1))),
    ],
)
def test_what_is_not_a_model(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        read_graph(write(tmp_path, data))
    assert str(tmp_path / "model.onnx") in str(caught.value)
    assert "copy it again" in str(caught.value)


def test_graphs_in_graphs_are_bounded(tmp_path: Path) -> None:
    inner = toy.message(2, "innermost")
    for _ in range(40):
        inner = toy.message(1, toy.message(4, "If"), toy.message(5, toy.message(6, inner)))
    with pytest.raises(ModelError, match="nested more than 32 deep"):
        read_graph(write(tmp_path, toy.message(7, inner)))


@settings(max_examples=200)
@given(st.data())
def test_damaged_models_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    model = bytearray(toy.bigram_graph(np.zeros((3, 3), np.float32)).model())
    for _ in range(data.draw(st.integers(1, 8))):
        model[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(model)
    try:
        read_graph(path)
    except ModelError:
        return
