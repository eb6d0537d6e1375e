from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inference import graphs, toy
from turnwise.errors import ModelError
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply
from turnwise.inference.requests.parcels import Parcel, pack, unpack
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import Tensor
from turnwise.inference.tensor_models.graph_engine import GraphEngine
from turnwise.inference.tensor_models.graph_model import GraphModel
from turnwise.inference.tensor_models.infer_job import InferJob
from turnwise.inference.tensor_models.inputs_outputs import check
from turnwise.inference.tensor_models.load import load_graph
from turnwise.inference.tensor_models.row_batching import BATCH_SIZES, ROWS_SEEN_MIN
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


def test_types_and_symbols(tmp_path: Path) -> None:
    model = load(tmp_path, graphs.pair_graph())
    a = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    b = np.array([[1, 0], [3, 0], [0, 6]], np.float32)
    c = np.array([[2**40, -1, 0]], np.int64)
    found = ask(model, parcel(1, a=a, b=b, c=c))[1]
    assert isinstance(found, dict)
    assert found["sum"].tolist() == (a + b).tolist()
    assert found["same"].dtype == np.bool_
    assert found["same"].tolist() == (a == b).tolist()
    assert found["twice"].tolist() == [[2**41, -2, 0]]


A = np.zeros((3, 2), np.float32)
C = np.zeros((1, 3), np.int64)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": A, "b": A}, "the input 'c' is missing: the graph takes 'a' (float32 [n, 2])"),
        ({"a": A, "b": A, "c": C, "d": A}, "the graph has no input 'd'"),
        ({"a": A, "b": A.astype(np.float64), "c": C}, "the input 'b' is float64, and the graph takes float32 [n, 2]"),
        ({"a": A, "b": A, "c": C[0]}, "the input 'c' has shape [3], and the graph takes int64 [m, n]"),
        ({"a": A, "b": A[:, :1], "c": C}, "the input 'b' has shape [3, 1]"),
        ({"a": A, "b": A[:2], "c": C}, "the dimension 'n' is 3 in 'a' and 2 in 'b'"),
        ({"a": A, "b": A, "c": C[:, :2]}, "the dimension 'n' is 3 in 'a' and 2 in 'c'"),
    ],
)
def test_tensors_that_do_not_fit(tmp_path: Path, arrays: dict[str, NDArray[Any]], words: str) -> None:
    model = load(tmp_path, graphs.pair_graph())
    with pytest.raises(Refusal) as caught:
        check(model.inputs, model.outputs, parcel(1, **arrays).tensors)
    assert words in caught.value.message


def test_nan_and_infinities_are_bytes_like_others(tmp_path: Path) -> None:
    model = load(tmp_path, graphs.divide_graph())
    found = ask(model, parcel(1, a=np.array([0, 1, -1, 3], np.float32), b=np.array([0, 0, 0, 2], np.float32)))[1]
    assert isinstance(found, dict)
    assert np.isnan(found["y"][0])
    assert found["y"][1:].tolist() == [np.inf, -np.inf, 1.5]


def test_what_the_operators_do_not_take_is_an_answer_to_that_request_alone(tmp_path: Path) -> None:
    model = load(tmp_path, graphs.gather_graph())
    rows = [parcel(number, i=np.array([index])) for number, index in enumerate([0, 7, 2, 1])]
    found = ask(model, *rows)
    assert "cannot process these tensors" in str(found[1])
    assert [found[number]["y"].tolist() for number in (0, 2, 3)] == [[[0, 1]], [[4, 5]], [[2, 3]]]  # type: ignore[index, union-attr]


def test_outputs_are_bounded(tmp_path: Path) -> None:
    model = load(tmp_path, graphs.growing_graph())
    found = ask(model, parcel(1, shape=np.array([5 << 20])), parcel(2, shape=np.array([3])))
    assert "the outputs have 20,971,520 bytes in all, at most 16,777,216 are allowed" in str(found[1])
    assert found[2]["y"].tolist() == [1, 1, 1]  # type: ignore[index, union-attr]


class Counting:
    """Counts the rows of each run of a model."""

    def __init__(self, model: GraphModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[int] = []
        inner = model.run

        def run(arrays: Any, rows: int = 1) -> Any:
            self.rows.append(len(next(iter(arrays.values()))))
            return inner(arrays, rows)

        monkeypatch.setattr(model, "run", run)


def test_rows_run_together_with_the_bits_that_each_gets_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tmp_path, graphs.dense_graph())
    assert model.batching.found == "rows batched"
    random = np.random.default_rng(3)
    rows = [parcel(number, x=random.standard_normal((1, 8)).astype(np.float32)) for number in range(29)]
    alone = {row.id: ask(model, row)[row.id] for row in rows}
    counting = Counting(model, monkeypatch)
    together = ask(model, *reversed(rows))
    assert counting.rows == [16, 8, 4, 1]
    assert list(together) == sorted(together), "lowest request first, in whatever order they came"
    for number, found in together.items():
        assert found["y"].tobytes() == alone[number]["y"].tobytes()  # type: ignore[index, union-attr]


def test_requests_of_several_rows_run_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tmp_path, graphs.dense_graph())
    counting = Counting(model, monkeypatch)
    ask(model, *[parcel(number, x=np.ones((3, 8), np.float32)) for number in range(2)])
    assert counting.rows == [3, 3]


def test_a_graph_that_mixes_rows_runs_them_singly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tmp_path, graphs.mixing_graph())
    assert model.batching.found == "rows singly"
    counting = Counting(model, monkeypatch)
    found = ask(model, *[parcel(number, x=np.full((1, 4), number, np.float32)) for number in range(4)])
    assert counting.rows == [1, 1, 1, 1]
    assert all(answer["y"].tolist() == [[1, 1, 1, 1]] for answer in found.values())  # type: ignore[index, union-attr]


def test_a_graph_without_a_batch_axis_runs_singly(tmp_path: Path) -> None:
    assert load(tmp_path, graphs.dense_graph(rows=1)).batching.found == "rows singly"
    assert load(tmp_path, graphs.pair_graph()).batching.found == "rows singly"


def test_open_shapes_are_tried_when_enough_of_them_were_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tmp_path, graphs.encoder_graph())
    assert model.batching.found == "rows tried"
    ids = np.array([[5, 6, 7]])
    rows = [parcel(n, input_ids=ids + n, attention_mask=np.ones_like(ids)) for n in range(ROWS_SEEN_MIN + 20)]
    counting = Counting(model, monkeypatch)
    found = ask(model, *rows)
    assert counting.rows[: ROWS_SEEN_MIN - 1] == [1] * (ROWS_SEEN_MIN - 1)
    assert counting.rows[-2:] == [16, 4] or counting.rows[-1] in BATCH_SIZES or counting.rows[-1] == 1
    assert 16 in counting.rows
    table = graphs.table_of()
    for number, answer in found.items():
        assert answer["last_hidden_state"].tobytes() == table[ids + number].tobytes()  # type: ignore[index, union-attr]


def test_inputs_are_bound_where_the_message_lies(tmp_path: Path) -> None:
    model = load(tmp_path, graphs.dense_graph())
    message = b"".join(pack([parcel(1, x=np.arange(16, dtype=np.float32).reshape(2, 8))]))
    with mmap.mmap(-1, 1 << 16) as memory:
        memory[: len(message)] = message
        view = memoryview(memory).toreadonly()
        (found,) = unpack(view[: len(message)])
        arrays = {name: array_over(item) for name, item in found.tensors.items()}
        (bound,) = model.bind(arrays)
        start = np.asarray(view).ctypes.data
        assert bound.data_ptr() == start + message.index(np.arange(16, dtype=np.float32).tobytes())
        assert model.run(arrays)["y"].shape == (2, 4)
        del found, arrays, bound
        view.release()


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
