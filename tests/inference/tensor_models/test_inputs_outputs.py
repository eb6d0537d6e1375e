from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inference import graphs
from tests.inference.tensor_models.asking import ask, load, parcel
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.tensor_models.inputs_outputs import check


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
