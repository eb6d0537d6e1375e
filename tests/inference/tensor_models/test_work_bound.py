"""What would compute for too long is refused before it computes, by a count and not by a clock."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.inference import graphs, toy
from tests.inference.tensor_models.asking import ask, parcel
from turnwise.errors import ModelError
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.tensor_models.graph_model import GraphModel
from turnwise.inference.tensor_models.load import LoadedGraph, load_graph
from turnwise.inference.tensor_models.work_bound import MULTIPLICATIONS_MAX


def powers(times: int) -> toy.Graph:
    """y = x to the power of two, so many times over, as a product of matrices; a symbol for both dimensions."""
    names = ["x", *[f"x{number}" for number in range(1, times)], "y"]
    return toy.Graph(
        inputs=[toy.value("x", toy.FLOAT, ["n", "n"])],
        outputs=[toy.value("y", toy.FLOAT, ["n", "n"])],
        nodes=[toy.node("MatMul", [one, one], [two]) for one, two in pairwise(names)],
    )


def loaded(tmp_path: Path, graph: toy.Graph, multiplications_max: int | None = None) -> LoadedGraph:
    path = graphs.write_graph(tmp_path / "m.onnx", graph)
    return load_graph(ModelSpec("m", path, "cpu", multiplications_max=multiplications_max))


class NeverRuns:
    """A session that fails if it is run."""

    def io_binding(self) -> None:
        raise AssertionError("it computes")


def test_a_run_of_too_many_multiplications_is_refused_before_it_computes(tmp_path: Path) -> None:
    """A chain of 200 products of matrices of 1,800 rows: 1.2 trillion."""
    model = loaded(tmp_path, powers(200)).model
    small = ask(model, parcel(1, x=np.eye(8, dtype=np.float32)))[1]
    assert isinstance(small, dict)
    assert small["y"].tolist() == np.eye(8).tolist()
    model._session = NeverRuns()
    found = ask(model, parcel(1, x=np.zeros((1_800, 1_800), np.float32)))[1]
    assert json.loads(str(found))["error"] == {
        "kind": "refused",
        "message": "the model's graph may need more than 1,000,000,000,000 multiplications for these tensors "
        "(multiplications_max)",
    }
    with pytest.raises(AssertionError, match="it computes"):  # the control: what is allowed is run
        ask(model, parcel(1, x=np.zeros((9, 9), np.float32)))


def test_the_world_says_how_many(tmp_path: Path) -> None:
    graph = powers(2)
    usual, less, more = (loaded(tmp_path, graph, bound) for bound in (None, 1_000_000, MULTIPLICATIONS_MAX * 9))
    matrix = np.zeros((100, 100), np.float32)
    assert "more than 1,000,000 multiplications" in str(ask(less.model, parcel(1, x=matrix))[1])
    for found in (usual, more):
        assert isinstance(ask(found.model, parcel(1, x=matrix))[1], dict)
    assert len({found.info.sha256 for found in (usual, less, more)}) == 3  # other bounds, other models


def test_each_row_is_bound_by_itself(tmp_path: Path) -> None:
    """A row that is refused alone is refused beside others, and rows that are not share a run."""
    rows = [parcel(number, x=np.full((1, 8), number, np.float32)) for number in range(16)]
    wide = toy.Graph(
        inputs=[toy.value("x", toy.FLOAT, ["batch", 8])],
        outputs=[toy.value("y", toy.FLOAT, ["batch", 8])],
        nodes=[
            toy.node("Neg", ["x" if number == 0 else f"x{number}"], ["y" if number == 299 else f"x{number + 1}"])
            for number in range(300)
        ],
    )
    refusing, taking = (loaded(tmp_path, wide, bound).model for bound in (1_000_000, 2_000_000))
    assert {str(answer)[:18] for answer in ask(refusing, *rows).values()} == {'{"error":{"kind":"'}
    assert len(ask(refusing, *rows)) == 16
    told: list[int] = []
    taking.watch(told.append)
    answers = ask(taking, *rows)
    assert [answer["y"][0, 0] for answer in answers.values()] == list(range(16))  # type: ignore[index]
    assert len(told) < 16
    assert all(1_000_000 < count < 2_000_000 for count in told)


def test_a_graph_that_asks_for_more_than_is_there_computes_nothing(tmp_path: Path) -> None:
    """Its own sizes say what it multiplies: x [n] becomes a matrix of a million times n columns."""
    graph = toy.Graph(
        inputs=[toy.value("x", toy.FLOAT, ["n"])],
        outputs=[toy.value("y", toy.FLOAT, [])],
        tensors=[toy.tensor("k", np.array([1_000_000], np.int64))],
        nodes=[
            toy.node("Shape", ["x"], ["size"]),
            toy.node("Mul", ["size", "k"], ["long"]),
            toy.node("Concat", ["size", "long"], ["wanted"], axis=0),
            toy.node("ConstantOfShape", ["wanted"], ["zeros"]),
            toy.node("MatMul", ["x", "zeros"], ["z"]),
            toy.node("ReduceSum", ["z"], ["y"], keepdims=0),
        ],
    )
    model = loaded(tmp_path, graph).model
    model._session = NeverRuns()
    assert "more than" in str(ask(model, parcel(1, x=np.ones(1_000, np.float32)))[1])


def test_counts_are_remembered_by_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(tmp_path, powers(1)).model
    assert isinstance(model, GraphModel)
    work = model._work
    assert work is not None
    first = [work.count((("x", (size, size)),)) for size in range(1, 40)]
    monkeypatch.setattr(work, "_shapes", None)
    assert [work.count((("x", (size, size)),)) for size in range(1, 40)] == first == sorted(first)


def test_a_model_that_generates_has_no_such_bound(tmp_path: Path) -> None:
    path = toy.write_attention_folder(tmp_path / "m")
    with pytest.raises(ModelError, match="bound by its context") as caught:
        load_model(ModelSpec("m", path, "cpu", multiplications_max=10**9))
    assert caught.value.where == "models.m.multiplications_max"


def test_a_trial_of_rows_is_bound_as_requests_are(tmp_path: Path) -> None:
    """A graph of fixed shapes is tried when it is loaded: what is refused then is not computed either."""
    graph = powers(3)
    graph.inputs = [toy.value("x", toy.FLOAT, ["batch", 400])]
    graph.tensors = [toy.tensor("w", np.zeros((400, 400), np.float32))]
    graph.outputs = [toy.value("y", toy.FLOAT, ["batch", 400])]
    graph.nodes = [toy.node("MatMul", ["x", "w"], ["y"])]
    model = loaded(tmp_path, graph, 1_000_000).model
    assert model.batching.found == "rows batched"
    with pytest.raises(Refusal):
        model.run({"x": np.zeros((7, 400), np.float32)})
    assert loaded(tmp_path, powers(300), 1_000_000).model.batching.found == "rows singly"
