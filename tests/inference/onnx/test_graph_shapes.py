"""Shapes are told before anything is computed, as far as they follow from those of the inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.inference import graphs, toy
from tests.inference.onnx.test_operators import loop
from turnwise.inference.onnx.counted_memory import BYTES_MAX
from turnwise.inference.onnx.graph_shapes import GraphShapes, Shape, Value


def shapes(tmp_path: Path, graph: toy.Graph, **inputs: tuple[int, ...]) -> dict[str, Shape | None]:
    path = graphs.write_graph(tmp_path / "g.onnx", graph)
    return {name: value.dims for name, value in GraphShapes(path).values(inputs).items()}


def numbers(name: str, *values: int) -> bytes:
    return toy.tensor(name, np.array(values, np.int64))


def sized(*nodes: bytes, tensors: tuple[bytes, ...] = ()) -> toy.Graph:
    """A graph on x [batch, length, 8], whose `size` is its shape."""
    return toy.Graph(
        inputs=[toy.value("x", toy.FLOAT, ["batch", "length", 8])],
        outputs=[toy.value("y", toy.FLOAT, ["?"])],
        tensors=[*tensors],
        nodes=[toy.node("Shape", ["x"], ["size"]), *nodes],
    )


def test_shapes_follow_from_sizes_that_the_graph_computes(tmp_path: Path) -> None:
    graph = sized(
        toy.node("Gather", ["size", "outer"], ["front"], axis=0),
        toy.node("Concat", ["front", "heads"], ["wanted"], axis=0),
        toy.node("Reshape", ["x", "wanted"], ["y"]),
        tensors=(numbers("outer", 0, 1), numbers("heads", 2, 4)),
    )
    assert shapes(tmp_path, graph, x=(3, 5, 8))["y"] == (3, 5, 2, 4)
    assert shapes(tmp_path, graph, x=(1, 700, 8))["y"] == (1, 700, 2, 4)


def test_what_a_request_makes_enormous_is_told_and_not_made(tmp_path: Path) -> None:
    graph = sized(
        toy.node("Mul", ["size", "many"], ["wanted"]),
        toy.node("ConstantOfShape", ["wanted"], ["zeros"]),
        toy.node("Neg", ["zeros"], ["y"]),
        tensors=(numbers("many", 100_000),),
    )
    assert shapes(tmp_path, graph, x=(9, 9, 8))["y"] == (900_000, 900_000, 800_000)


def test_what_follows_from_data_is_not_known(tmp_path: Path) -> None:
    graph = sized(toy.node("NonZero", ["x"], ["y"]))
    path = graphs.write_graph(tmp_path / "g.onnx", graph)
    value = GraphShapes(path).values({"x": (2, 2, 8)})["y"]
    assert (value.dims, value.known, value.elements) == ((3, None), None, BYTES_MAX // 8)
    assert Value((2, 3)).elements == 6
    assert Value(None).elements == BYTES_MAX


def test_weights_are_not_read(tmp_path: Path) -> None:
    graph = graphs.dense_graph()
    graph.tensors = [toy.external_tensor("w", [8, 4], location="nowhere.bin")]
    assert shapes(tmp_path, graph, x=(7, 8))["y"] == (7, 4)


def test_shapes_that_a_graph_claims_are_not_believed(tmp_path: Path) -> None:
    model = graphs.dense_graph().model()
    claimed = toy.message(7, toy.message(13, toy.value("z", toy.FLOAT, [1, 1])))
    path = tmp_path / "g.onnx"
    path.write_bytes(model + claimed)  # messages of one field are merged
    assert GraphShapes(path).values({"x": (7, 8)})["z"].dims == (7, 4)


def test_of_inputs_that_the_graph_does_not_take_only_their_own_shape_is_known(tmp_path: Path) -> None:
    found = shapes(tmp_path, graphs.dense_graph(), x=(7, 9))
    assert found == {"x": (7, 9), "w": (8, 4)}


@pytest.mark.parametrize("passes", [3, 5])
def test_graphs_in_nodes_are_read(tmp_path: Path, passes: int) -> None:
    count = toy.number(2, toy.INT64) + toy.message(8, "n") + toy.message(9, passes.to_bytes(8, "little"))
    graph = toy.Graph(
        nodes=[loop("n")],
        tensors=[count],
        inputs=[toy.value("x", toy.FLOAT, [1, 8])],
        outputs=[toy.value("y", toy.FLOAT, [1, 8])],
    )
    (node,) = GraphShapes(graphs.write_graph(tmp_path / "g.onnx", graph)).nodes
    (body,) = node.bodies
    assert (node.kind, [inner.kind for inner in body.nodes]) == ("Loop", ["Identity", "Add"])
    assert {"i", "on", "carried", "goes", "out"} == set(body.own)
