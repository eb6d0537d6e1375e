"""Graphs that draw random numbers, wherever and in whatever mode they do, and graphs that compute without a bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.inference import toy
from turnwise.errors import ModelError
from turnwise.inference.onnx.graph_facts import read_graph
from turnwise.inference.onnx.operators import check_operators, loop_passes_max
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.tensor_models.load import load_graph

BOOL = 9
RATIO = toy.tensor("ratio", np.array(0.5, np.float32))


def flag(name: str, value: bool, *, raw: bool = True, packed: bool = False) -> bytes:
    """A TensorProto of one boolean: raw bytes, or a number in int32_data."""
    data = toy.message(9, bytes([value])) if raw else toy.number(5, value)
    return toy.number(2, BOOL) + toy.message(8, name) + (toy.message(5, bytes([value])) if packed else data)


def graph(*nodes: bytes, tensors: list[bytes] | None = None, inputs: list[bytes] | None = None) -> toy.Graph:
    return toy.Graph(
        nodes=list(nodes),
        tensors=[RATIO, *(tensors or [])],
        inputs=[toy.value("x", toy.FLOAT, [1, 8]), *(inputs or [])],
        outputs=[toy.value("y", toy.FLOAT, [1, 8])],
    )


def subgraph(*nodes: bytes, tensors: tuple[bytes, ...] = (), inputs: tuple[bytes, ...] = ()) -> bytes:
    body = b"".join(toy.message(1, node) for node in nodes) + toy.message(2, "branch")
    body += b"".join(toy.message(5, tensor) for tensor in tensors)
    body += b"".join(toy.message(11, item) for item in inputs)
    return body + toy.message(12, toy.value("out", toy.FLOAT, [1, 8]))


def branches(then: bytes, other: bytes) -> bytes:
    """An If on `positive`."""
    node = toy.node("If", ["positive"], ["y"])
    for name, body in (("then_branch", then), ("else_branch", other)):
        node += toy.message(5, toy.message(1, name), toy.message(6, body), toy.number(20, 5))
    return node


def constant(name: str, value: bool) -> bytes:
    attribute = toy.message(1, "value") + toy.message(5, flag("", value)) + toy.number(20, 4)
    return toy.node("Constant", [], [name]) + toy.message(5, attribute)


DROPOUT = toy.node("Dropout", ["x", "ratio", "training"], ["y"])
INNER = toy.node("Dropout", ["x", "ratio", "training"], ["out"])
COPY = toy.node("Identity", ["x"], ["out"])
POSITIVE = toy.tensor("zero", np.array(0, np.float32))
CONDITION = (toy.node("ReduceMax", ["x"], ["top"], keepdims=0), toy.node("Greater", ["top", "zero"], ["positive"]))

DRAWS = {
    "plain": graph(toy.node("RandomNormalLike", ["x"], ["y"])),
    "other domain": graph(toy.node("Sampling", ["x"], ["y"], domain="com.microsoft")),
    "training": graph(DROPOUT, tensors=[flag("training", True)]),
    "training, numbers": graph(DROPOUT, tensors=[flag("training", True, raw=False)]),
    "training, packed": graph(DROPOUT, tensors=[flag("training", True, packed=True)]),
    "training, constant": graph(constant("training", True), DROPOUT),
    "asked for": graph(DROPOUT, inputs=[toy.value("training", BOOL, [])]),
    "asked for, with a default": graph(
        DROPOUT, tensors=[flag("training", False)], inputs=[toy.value("training", BOOL, [])]
    ),
    "computed": graph(toy.node("Not", ["off"], ["training"]), DROPOUT, tensors=[flag("off", False)]),
    "a branch": graph(
        *CONDITION, branches(subgraph(toy.node("RandomNormalLike", ["x"], ["out"])), subgraph(COPY)), tensors=[POSITIVE]
    ),
    "a branch in training": graph(
        *CONDITION, branches(subgraph(COPY), subgraph(INNER)), tensors=[POSITIVE, flag("training", True)]
    ),
    "fused": graph(toy.node("BiasDropout", ["x", "b", "", "ratio", "training"], ["y"], domain="com.microsoft")),
}
STEADY = {
    "two inputs": graph(toy.node("Dropout", ["x", "ratio"], ["y"])),
    "no mode": graph(toy.node("Dropout", ["x", "ratio", ""], ["y"])),
    "off": graph(DROPOUT, tensors=[flag("training", False)]),
    "off, numbers": graph(DROPOUT, tensors=[flag("training", False, raw=False)]),
    "off, packed": graph(DROPOUT, tensors=[flag("training", False, packed=True)]),
    "off, constant": graph(constant("training", False), DROPOUT),
    "off, in a branch": graph(
        *CONDITION, branches(subgraph(COPY), subgraph(INNER)), tensors=[POSITIVE, flag("training", False)]
    ),
    "off, within a branch": graph(
        *CONDITION,
        branches(subgraph(COPY), subgraph(INNER, tensors=(flag("training", False),))),
        tensors=[POSITIVE],
    ),
}


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", DRAWS)
def test_a_graph_that_draws_random_numbers_is_refused(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "g.onnx", DRAWS[name].model())
    with pytest.raises(ModelError, match="draws random numbers"):
        check_operators(path, read_graph(path))


@pytest.mark.parametrize("name", STEADY)
def test_dropout_that_is_off_is_nothing(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "g.onnx", STEADY[name].model())
    model = load_graph(ModelSpec("m", path, "cpu")).model
    row = {"x": np.arange(8, dtype=np.float32)[np.newaxis]}
    assert model.run(row)["y"].tolist() == row["x"].tolist()


def test_a_function_of_the_model_that_draws(tmp_path: Path) -> None:
    body = toy.node("RandomNormalLike", ["a"], ["b"])
    function = toy.message(1, "Noise") + toy.message(4, "a") + toy.message(5, "b") + toy.message(7, body)
    content = graph(toy.node("Noise", ["x"], ["y"], domain="my")).model() + toy.message(25, function)
    path = write(tmp_path / "g.onnx", content)
    with pytest.raises(ModelError, match="RandomNormalLike"):
        check_operators(path, read_graph(path))
    dropout = toy.message(1, "D") + toy.message(4, "x") + toy.message(7, constant("t", False))
    dropout += toy.message(7, toy.node("Dropout", ["x", "", "t"], ["y"]))
    path = write(
        tmp_path / "d.onnx", graph(toy.node("D", ["x"], ["y"], domain="my")).model() + toy.message(25, dropout)
    )
    check_operators(path, read_graph(path))


def test_a_name_that_a_branch_gets_as_its_own_is_not_the_constant_outside(tmp_path: Path) -> None:
    inner = subgraph(INNER, inputs=(toy.value("training", BOOL, []),))
    node = toy.node("Loop", ["count", ""], ["y"])
    node += toy.message(5, toy.message(1, "body"), toy.message(6, inner), toy.number(20, 5))
    path = write(tmp_path / "g.onnx", graph(node, tensors=[flag("training", False)]).model())
    with pytest.raises(ModelError, match="Dropout in training mode"):
        check_operators(path, read_graph(path))


def count(name: str, passes: int, *, raw: bool = True) -> bytes:
    """A TensorProto of one int64: raw bytes, or a number in int64_data."""
    data = toy.message(9, passes.to_bytes(8, "little")) if raw else toy.number(7, passes)
    return toy.number(2, toy.INT64) + toy.message(8, name) + data


def counts(name: str, passes: int) -> bytes:
    attribute = toy.message(1, "value") + toy.message(5, count("", passes)) + toy.number(20, 4)
    return toy.node("Constant", [], [name]) + toy.message(5, attribute)


def loop(passes: str, *inner: bytes, output: str = "y") -> bytes:
    """A Loop that adds x to what it carries, from x on."""
    body = b"".join(toy.message(1, node) for node in (*inner, toy.node("Identity", ["on"], ["goes"])))
    body += toy.message(1, toy.node("Add", ["carried", "x"], ["out"])) + toy.message(2, "body")
    body += toy.message(11, toy.value("i", toy.INT64, [])) + toy.message(11, toy.value("on", BOOL, []))
    body += toy.message(11, toy.value("carried", toy.FLOAT, [1, 8]))
    body += toy.message(12, toy.value("goes", BOOL, [])) + toy.message(12, toy.value("out", toy.FLOAT, [1, 8]))
    node = toy.node("Loop", [passes, "", "x"], [output])
    return node + toy.message(5, toy.message(1, "body"), toy.message(6, body), toy.number(20, 5))


COUNTED = {
    "a number": graph(loop("n"), tensors=[count("n", 5)]),
    "a number, not raw": graph(loop("n"), tensors=[count("n", 5, raw=False)]),
    "a constant": graph(counts("n", 5), loop("n")),
}
ENDLESS = {
    "an input": graph(loop("n"), inputs=[toy.value("n", toy.INT64, [])]),
    "an input with a default": graph(loop("n"), inputs=[toy.value("n", toy.INT64, [])], tensors=[count("n", 5)]),
    "no number": graph(loop("")),
    "computed": graph(toy.node("Size", ["x"], ["n"]), loop("n")),
    "too many": graph(loop("n"), tensors=[count("n", 65_537)]),
    "negative": graph(loop("n"), tensors=[count("n", 2**64 - 1)]),
    "too many together": graph(loop("n", loop("n", output="z")), tensors=[count("n", 257)]),
    "an inner one": graph(
        loop("n", loop("k", output="z")), tensors=[count("n", 2)], inputs=[toy.value("k", toy.INT64, [])]
    ),
    "a search": graph(toy.node("BeamSearch", ["x", "n"], ["y"], domain="com.microsoft")),
}


@pytest.mark.parametrize("name", COUNTED)
def test_loops_with_a_constant_number_of_passes_run(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "g.onnx", COUNTED[name].model())
    model = load_graph(ModelSpec("m", path, "cpu")).model
    row = {"x": np.arange(8, dtype=np.float32)[np.newaxis]}
    assert model.run(row)["y"].tolist() == (6 * row["x"]).tolist()


@pytest.mark.parametrize("name", ENDLESS)
def test_loops_that_the_data_could_make_endless_are_refused(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "g.onnx", ENDLESS[name].model())
    with pytest.raises(ModelError, match="computes for longer than sizes say"):
        load_graph(ModelSpec("m", path, "cpu"))


def test_loops_after_each_other_are_not_multiplied(tmp_path: Path) -> None:
    two = graph(loop("n", output="z"), loop("n"), tensors=[count("n", 65_536)])
    check_operators(tmp_path, read_graph(write(tmp_path / "g.onnx", two.model())))
    assert loop_passes_max([(0, 3), (0, 5), (1, 7)]) == 35
    assert loop_passes_max([]) == 1
    assert loop_passes_max([(0, 3), (1, None)]) is None
