from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.inference import graphs, toy
from tests.inference.tensor_models.asking import load
from turnwise.errors import ModelError
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.tensor_models.load import load_graph


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g.nodes.append(toy.node("RandomNormalLike", ["x"], ["r"])), "draws random numbers"),
        (lambda g: g.nodes.append(toy.node("EPContext", ["x"], ["r"], "com.microsoft")), "compiled for one device"),
        (lambda g: g.inputs.append(toy.value("s", graphs.STRING, [1])), "the input 's' has type tensor(string)"),
        (lambda g: g.tensors.append(toy.external_tensor("e", [4], location="../e.bin")), "not inside the model folder"),
        (lambda g: g.nodes.pop(), "ONNX Runtime cannot load the graph"),
    ],
)
def test_graphs_that_may_not_serve(tmp_path: Path, change: Any, words: str) -> None:
    graph = graphs.dense_graph()
    change(graph)
    with pytest.raises(ModelError, match=words.replace("(", r"\(").replace(")", r"\)")):
        load(tmp_path, graph)


def test_where_the_graph_lies(tmp_path: Path) -> None:
    def loaded(path: Path) -> str:
        return load_graph(ModelSpec("m", path, "cpu")).info.sha256

    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(ModelError, match=r"holds 0 \.onnx files"):
        loaded(folder)
    graphs.write_graph(folder / "some.onnx", graphs.dense_graph())
    assert loaded(folder) == loaded(folder / "some.onnx")
    graphs.write_graph(folder / "other.onnx", graphs.dense_graph(1))
    with pytest.raises(ModelError, match=r"holds 2 \.onnx files"):
        loaded(folder)
    graphs.write_graph(folder / "model.onnx", graphs.dense_graph(2))
    assert loaded(folder) == loaded(folder / "model.onnx")
    with pytest.raises(ModelError, match="does not exist"):
        loaded(tmp_path / "none")
