"""The SDK's tensors, and the effects on them."""

from __future__ import annotations

import json
import math
from array import array
from typing import Any

import numpy as np
import pytest

from tests.inference.graphs import as_json
from turnwise_guest import EffectError, Tensor, Turn
from turnwise_guest.tensor import from_json, to_json
from turnwise_guest.testing import make_turn

DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_is_numpys(dtype: Any) -> None:
    values = [[0, 1, 1], [1, 0, 1]] if dtype == "bool" else [[0, 1, 2], [3, 4, 100]]
    expected = np.array(values).astype(dtype)
    tensor = Tensor(values, dtype=dtype)
    assert to_json(tensor) == as_json(expected)
    assert from_json(as_json(expected)) == tensor
    assert tensor.tolist() == expected.tolist()
    assert (len(tensor), tensor.shape) == (2, (2, 3))


@pytest.mark.parametrize(
    ("values", "dtype", "shape"),
    [
        (1.5, "float32", ()),
        (3, "int64", ()),
        ([True, False], "bool", (2,)),
        ([1, 2.5], "float32", (2,)),
        ([True, 2], "int64", (2,)),
        ([], "float32", (0,)),
        ([[], []], "float32", (2, 0)),
        (((1,), (2,)), "int64", (2, 1)),
        (range(3), "int64", (3,)),
        (array("d", [1, 2]), "float32", (2,)),
    ],
)
def test_what_lists_become(values: Any, dtype: str, shape: tuple[int, ...]) -> None:
    tensor = Tensor(values)
    assert (tensor.dtype, tensor.shape) == (dtype, shape)
    assert from_json(to_json(tensor)).tolist() == np.array(values, dtype).reshape(shape).tolist()


def test_flat_values_with_a_shape() -> None:
    assert Tensor(range(6), shape=(2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert Tensor([], shape=(2, 0, 3)).tolist() == [[], []]
    assert Tensor([7], shape=()).tolist() == 7


def test_special_numbers_come_back() -> None:
    for dtype in ("float16", "float32", "float64"):
        nan, *others = from_json(to_json(Tensor([math.nan, math.inf, -math.inf, -0.0], dtype=dtype))).tolist()  # type: ignore[arg-type]
        assert math.isnan(nan)
        assert others == [math.inf, -math.inf, 0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"values": [[1], [1, 2]]}, r"values\[1\] has the shape \(2,\), and those before it \(1,\)"),
        ({"values": ["a"]}, r"values\[0\] is a number or a list of them, not 'a'"),
        ({"values": None}, "values is a number or a list"),
        ({"values": {1, 2}}, "values is a number or a list"),
        ({"values": [1], "dtype": "float8"}, "dtype is one of bool, int8"),
        ({"values": [300], "dtype": "uint8"}, "do not fit into uint8"),
        ({"values": [-1], "dtype": "uint64"}, "do not fit into uint64"),
        ({"values": [1.5], "dtype": "int32"}, "do not fit into int32"),
        ({"values": [1e6], "dtype": "float16"}, "do not fit into float16"),
        ({"values": [2], "dtype": "bool"}, "a bool tensor holds True and False"),
        ({"values": [1, 2], "shape": (3,)}, r"2 values do not fill the shape \(3,\)"),
        ({"values": [1], "shape": (-1,)}, "shape holds whole numbers"),
    ],
)
def test_what_is_no_tensor(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        Tensor(**arguments)


def test_tensors_are_equal_by_value_and_shown_short() -> None:
    assert Tensor([1, 2]) != Tensor([1.0, 2.0])
    assert Tensor([1, 2]) != [1, 2]
    assert repr(Tensor([range(4), range(4)])) == "<Tensor int64 [2, 4]: 0, 1, 2, 3, 0, 1, …>"
    with pytest.raises(TypeError, match="no length"):
        len(Tensor(1))


class Asked:
    """An effect that answers by a function, and keeps what was asked."""

    def __init__(self, *replies: Any) -> None:
        self.requests: list[Any] = []
        self._replies = list(replies)

    def turn(self) -> Turn:
        turn = make_turn()
        turn._effect = self._answer
        return turn

    def _answer(self, text: str) -> str:
        self.requests.append(json.loads(text))
        return json.dumps(self._replies.pop(0))


def outputs(value: float) -> dict[str, Any]:
    return {"ok": {"outputs": {"y": to_json(Tensor([value]))}}}


DENIED = {"error": {"kind": "denied", "message": "no"}}


def test_infer_asks_with_tensors_and_lists() -> None:
    asked = Asked(outputs(2.5), DENIED)
    turn = asked.turn()
    assert turn.infer("m", {"x": [[1.0]], "n": Tensor([1], dtype="int32")})["y"].tolist() == [2.5]
    assert asked.requests[0] == {
        "effect": "infer",
        "model": "m",
        "inputs": {"x": to_json(Tensor([[1.0]])), "n": to_json(Tensor([1], dtype="int32"))},
    }
    with pytest.raises(EffectError, match="denied: no"):
        turn.infer("m", {})


def test_infer_all_asks_once() -> None:
    asked = Asked({"results": [outputs(1), DENIED]}, {"results": [outputs(1), DENIED]})
    turn = asked.turn()
    assert turn.infer_all("m", []) == []
    first, second = turn.infer_all("m", [{"x": 1.0}, {"x": 2.0}], return_errors=True)
    assert not isinstance(first, EffectError)
    assert first["y"].tolist() == [1]
    assert isinstance(second, EffectError)
    assert len(asked.requests[0]["effects"]) == 2
    with pytest.raises(EffectError):
        turn.infer_all("m", [{"x": 1.0}, {"x": 2.0}])


def test_embed_gives_a_vector_for_a_text_and_a_list_for_a_list() -> None:
    one = {"ok": {"vectors": to_json(Tensor([[1.0, 2.0]]))}}
    asked = Asked(one, one)
    turn = asked.turn()
    assert turn.embed("e", "hello") == [1, 2]
    assert turn.embed("e", ["hello"], truncate=True) == [[1, 2]]
    assert turn.embed("e", []) == []
    assert asked.requests == [
        {"effect": "embed", "model": "e", "texts": ["hello"]},
        {"effect": "embed", "model": "e", "texts": ["hello"], "truncate": True},
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.infer(5, {}),
        lambda t: t.infer("m", [1]),
        lambda t: t.infer("m", {1: [1]}),
        lambda t: t.infer("m", {"x": "text"}),
        lambda t: t.infer("m", {"\ud800": 1}),
        lambda t: t.embed(5, "x"),
        lambda t: t.embed("e", [5]),
        lambda t: t.embed("e", {"x"}),
    ],
)
def test_wrong_calls_are_the_agents_mistake(call: Any) -> None:
    asked = Asked()
    with pytest.raises(TypeError):
        call(asked.turn())
    assert asked.requests == []


def test_models_of_a_test() -> None:
    turn = make_turn(
        infer=lambda model, inputs: {"y": [2 * value for value in inputs["x"].tolist()]},
        embed=lambda model, text: [len(text), 1],
    )
    assert turn.infer("m", {"x": [1.0, 2.0]})["y"] == Tensor([2.0, 4.0])
    assert turn.embed("e", ["a", "bcd"]) == [[1, 1], [3, 1]]
    with pytest.raises(EffectError, match="give make_turn infer="):
        make_turn().infer("m", {})
