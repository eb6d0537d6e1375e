from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inference.graphs import as_json
from turnwise.core.canonical import canonical
from turnwise.inference.requests.infer_request import InferRequest, parcel_of, reply_body
from turnwise.inference.requests.parcels import ALIGNMENT, Parcel, pack, unpack
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import ELEMENT_BYTES, Tensor, from_json, to_json

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


TENSORS = st.builds(lambda data: Tensor("uint8", (len(data),), data), st.binary(max_size=200))


@given(
    st.lists(st.builds(Parcel, st.integers(0, 99), st.text(max_size=5), st.dictionaries(st.text(max_size=5), TENSORS)))
)
def test_messages_are_exact_and_aligned(parcels: list[Parcel]) -> None:
    message = b"".join(pack(parcels))
    found = list(unpack(message))
    assert found == parcels
    base = np.frombuffer(message, np.uint8).ctypes.data
    for parcel in found:
        for tensor in parcel.tensors.values():
            if len(tensor.data):
                assert (np.frombuffer(tensor.data, np.uint8).ctypes.data - base) % ALIGNMENT == 0


def test_a_message_that_lies_is_refused() -> None:
    parts = pack([Parcel(1, "m", {"x": Tensor("uint8", (100,), bytes(100))})])
    whole = b"".join(parts)
    for damaged in (
        whole[:-40],
        whole[:20],
        whole.replace(b'"offset":0', b'"offset":9'),
        whole.replace(b"[100]", b"[101]"),
    ):
        with pytest.raises(msgspec.MsgspecError):
            list(unpack(damaged))


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
    assert refusal(request | {"inputs": {"a": half, "b": half}}).startswith("inputs has 83,886,080 bytes in all")
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
