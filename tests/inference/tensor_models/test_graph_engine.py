from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.inference import graphs
from tests.inference.tensor_models.asking import ask, load, parcel
from turnwise.inference.tensor_models.graph_engine import GraphEngine
from turnwise.inference.tensor_models.infer_job import InferJob


def test_what_the_operators_do_not_take_is_an_answer_to_that_request_alone(tmp_path: Path) -> None:
    model = load(tmp_path, graphs.gather_graph())
    rows = [parcel(number, i=np.array([index])) for number, index in enumerate([0, 7, 2, 1])]
    found = ask(model, *rows)
    assert "cannot process these tensors" in str(found[1])
    assert [found[number]["y"].tolist() for number in (0, 2, 3)] == [[[0, 1]], [[4, 5]], [[2, 3]]]  # type: ignore[index, union-attr]


def test_cancelled_requests_are_not_answered_and_give_their_memory_back(tmp_path: Path) -> None:
    model = load(tmp_path, graphs.dense_graph())
    released: list[int] = []
    engine = GraphEngine(model)
    for number in range(3):
        row = parcel(number, x=np.ones((1, 8), np.float32))
        engine.submit(InferJob(row, model, lambda number=number: released.append(number)))  # type: ignore[misc]
    engine.cancel(1)
    engine.cancel(99)
    assert released == [1]
    assert [answer.id for _ in range(2) for answer in engine.step()] == [0, 2]
    assert released == [1, 0, 2]
