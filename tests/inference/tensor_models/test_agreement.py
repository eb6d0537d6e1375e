from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference import graphs
from turnwise.errors import ModelError
from turnwise.inference.onnx.provider_names import CPU, CUDA
from turnwise.inference.onnx.sessions import Opened, Sessions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.tensor_models.agreement import difference
from turnwise.inference.tensor_models.graph_model import GraphModel
from turnwise.inference.tensor_models.load import load_graph


def load(path: Path, seed: int) -> GraphModel:
    path.mkdir()
    return load_graph(ModelSpec("m", graphs.write_graph(path / "m.onnx", graphs.dense_graph(seed)), "cpu")).model


class Changed:
    """A graph's outputs, changed."""

    def __init__(self, model: GraphModel, change: Any) -> None:
        self.inputs = model.inputs
        self._model = model
        self._change = change

    def run(self, arrays: Any) -> Any:
        return {name: self._change(array) for name, array in self._model.run(arrays).items()}


def test_the_same_graph_agrees_and_another_does_not(tmp_path: Path) -> None:
    one, other = load(tmp_path / "a", 0), load(tmp_path / "b", 1)
    assert difference(one, one, 0.001) is None
    assert "differs by" in (difference(other, one, 0.001) or "")


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda array: array * np.float32(1.0005), None),
        (lambda array: array * np.float32(1.01), "differs by 0.01 of its largest number"),
        (lambda array: array * np.float32("nan"), "is not a number in other places"),
        (lambda array: array[..., :1], "has shape"),
    ],
)
def test_what_may_be_rounding_and_what_may_not(tmp_path: Path, change: Any, seen: str | None) -> None:
    model = load(tmp_path / "a", 0)
    found = difference(Changed(model, change), model, 0.001)  # type: ignore[arg-type]
    assert (found is None) if seen is None else (seen in (found or ""))


def test_whole_numbers_must_be_equal(tmp_path: Path) -> None:
    model = load(tmp_path / "a", 0)
    whole = Changed(model, lambda array: np.rint(array).astype(np.int64))
    other = Changed(model, lambda array: np.rint(array).astype(np.int64) + 1)
    assert difference(whole, whole, 0.001) is None  # type: ignore[arg-type]
    assert "has other numbers" in (difference(other, whole, 0.001) or "")  # type: ignore[arg-type]


def test_a_provider_that_computes_otherwise_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session of "cuda" is another graph's."""
    wrong = graphs.write_graph(tmp_path / "wrong.onnx", graphs.dense_graph(1))
    right = graphs.write_graph(tmp_path / "m.onnx", graphs.dense_graph(0))
    original = Sessions._open

    def opened(self: Sessions, name: str) -> Opened | str:
        if name == CPU:
            return original(self, name)
        self._source = str(wrong)
        found = original(self, CPU)
        self._source = str(right)
        assert isinstance(found, Opened)
        return Opened(found.session, CUDA, {CUDA: 1}, None, 1)

    def wanted(spec: ModelSpec, there: object) -> list[str]:
        return [CPU] if spec.provider == "cpu" else [CUDA, CPU]

    monkeypatch.setattr(Sessions, "_open", opened)
    monkeypatch.setattr("turnwise.inference.onnx.sessions._wanted", wanted)
    info = load_graph(ModelSpec("m", right)).info
    assert info.provider == CPU
    assert info.fallback is not None
    assert "cuda answers otherwise than the cpu: " in info.fallback
    with pytest.raises(ModelError, match="is required and cannot be used: cuda answers otherwise"):
        load_graph(ModelSpec("m", right, "cuda", require=True))
