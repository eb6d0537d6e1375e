from __future__ import annotations

import numpy as np
import pytest

from tests.inference.graphs import as_json
from turnwise.core.canonical import canonical
from turnwise.inference.requests.infer_request import InferRequest, parcel_of, reply_body
from turnwise.inference.requests.parcels import Parcel
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import Tensor

GOOD = {"dtype": "float32", "shape": [1, 2], "data": "AACAPwAAAEA="}


def test_requests_are_checked_before_any_graph_sees_them() -> None:
    def refusal(value: object) -> str:
        with pytest.raises(Refusal) as caught:
            parcel_of(InferRequest(1, "m", value if isinstance(value, str) else canonical(value)))
        return caught.value.message

    request = {"effect": "infer", "model": "m", "inputs": {"x": GOOD}}
    assert refusal("[") == "the request is not JSON text"
    assert refusal([]) == "the request must be a JSON object"
    assert refusal(request | {"outputs": []}) == 'unknown key "outputs": an infer request has model and inputs'
    assert refusal(request | {"inputs": [GOOD]}) == "inputs must be an object of tensors by name"
    assert refusal(request | {"inputs": {str(i): GOOD for i in range(65)}}).startswith("inputs has 65 tensors")
    assert refusal(request | {"inputs": {"x" * 257: GOOD}}) == "an input's name is longer than 256 characters"
    assert refusal(request | {"inputs": {"x": 3}}).startswith('inputs["x"] must be an object')
    half = as_json(np.zeros(40 << 20, np.uint8))
    broken = half | {"data": "?"}  # not looked at
    assert refusal(request | {"inputs": {"a": broken, "b": half}}).startswith("inputs has 83,886,080 bytes in all")
    assert parcel_of(InferRequest(7, "m", canonical(request))).tensors["x"].shape == (1, 2)


def test_replies_are_canonical() -> None:
    tensors = {"b": Tensor("bool", (2,), b"\1\0"), "a": Tensor("uint8", (), b"\5")}
    assert reply_body(Parcel(1, "outputs", tensors)) == (
        '{"ok":{"outputs":{"a":{"data":"BQ==","dtype":"uint8","shape":[]},"b":{"data":"AQA=","dtype":"bool","shape":[2]}}}}'
    )
    vectors = {"vectors": Tensor("float32", (1, 1), bytes(4))}
    assert reply_body(Parcel(1, "vectors", vectors)) == (
        '{"ok":{"vectors":{"data":"AAAAAA==","dtype":"float32","shape":[1,1]}}}'
    )
