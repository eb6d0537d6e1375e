"""Graphs that are loaded and asked, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from tests.inference import graphs, toy
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply
from turnwise.inference.requests.parcels import Parcel
from turnwise.inference.requests.tensors import Tensor
from turnwise.inference.tensor_models.graph_engine import GraphEngine
from turnwise.inference.tensor_models.graph_model import GraphModel
from turnwise.inference.tensor_models.infer_job import InferJob
from turnwise.inference.tensor_models.load import load_graph
from turnwise.inference.tensor_models.tensor_arrays import array_over


def load(path: Path, graph: toy.Graph) -> GraphModel:
    return load_graph(ModelSpec("m", graphs.write_graph(path / "m.onnx", graph), "cpu")).model


def tensor(array: NDArray[Any]) -> Tensor:
    return Tensor(array.dtype.name, array.shape, array.tobytes())


def parcel(number: int, **arrays: NDArray[Any]) -> Parcel:
    return Parcel(number, "m", {name: tensor(array) for name, array in arrays.items()})


def ask(model: GraphModel, *parcels: Parcel) -> dict[int, dict[str, NDArray[Any]] | str]:
    """Answers to requests that are all pending at once."""
    engine = GraphEngine(model)
    answers: dict[int, dict[str, NDArray[Any]] | str] = {}
    for one in parcels:
        engine.submit(InferJob(one, model, lambda: None))
    while engine.pending:
        for answer in engine.step():
            if isinstance(answer, GenerateReply):
                answers[answer.id] = answer.body
            else:
                answers[answer.id] = {name: array_over(item).copy() for name, item in answer.tensors.items()}
    return answers


class Counting:
    """Counts the rows of each run of a model."""

    def __init__(self, model: GraphModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[int] = []
        inner = model.run

        def run(arrays: Any, rows: int = 1) -> Any:
            self.rows.append(len(next(iter(arrays.values()))))
            return inner(arrays, rows)

        monkeypatch.setattr(model, "run", run)
