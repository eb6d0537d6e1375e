from __future__ import annotations

import numpy as np
import pytest

from tests.inference.graphs import as_json
from turnwise.core.canonical import canonical
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import ELEMENT_BYTES, from_json, to_json

GOOD = {"dtype": "float32", "shape": [1, 2], "data": "AACAPwAAAEA="}


@pytest.mark.parametrize("dtype", ELEMENT_BYTES)
def test_every_type_has_numpys_bytes(dtype: str) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    tensor = from_json(as_json(array), "t")
    assert (tensor.dtype, tensor.shape, bytes(tensor.data)) == (dtype, (2, 3), array.tobytes())
    assert canonical(to_json(tensor)) == canonical(as_json(array))


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,) * 16])
def test_scalars_and_empty_tensors(shape: tuple[int, ...]) -> None:
    tensor = from_json(as_json(np.zeros(shape, np.int16)), "t")
    assert (tensor.shape, len(tensor.data)) == (shape, 2 * int(np.prod(shape)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dtype": "float8"}, "dtype must be one of bool, int8"),
        ({"dtype": ["float32"]}, "dtype must be one of"),
        ({"shape": "2"}, "shape must be a list"),
        ({"shape": [1] * 17}, "at most 16"),
        ({"shape": [-1, 2]}, "whole numbers from 0"),
        ({"shape": [True, 2]}, "whole numbers from 0"),
        ({"shape": [1.0, 2]}, "whole numbers from 0"),
        ({"shape": [2**31, 2]}, "whole numbers from 0"),
        ({"shape": [2**31 - 1] * 16}, "at most 67,108,864 are allowed"),
        ({"shape": [2**24 + 1]}, "at most 67,108,864 are allowed"),
        ({"shape": [3]}, "data has 8 bytes, and float32 of shape [3] takes 12"),
        ({"data": 5}, "data must be text"),
        ({"data": "AACAPwAAAEA"}, "not base64"),
        ({"data": "AACAPwAAAEA=\n"}, "not base64"),
        ({"data": "ä"}, "not base64"),
        ({"data": "A" * 100_000_000}, "data has 100,000,000 characters"),
        ({"dtype": "bool", "shape": [8]}, "bytes other than 0 and 1"),
        ({"more": 1}, "an object with dtype, shape and data"),
    ],
)
def test_what_is_no_tensor(change: dict[str, object], words: str) -> None:
    with pytest.raises(Refusal) as caught:
        from_json(GOOD | change, "inputs['x']")
    assert words in caught.value.message
    assert caught.value.message.startswith("inputs['x']")
    assert caught.value.kind == "refused"
