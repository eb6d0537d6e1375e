"""`Tensor`: numbers in a shape, as graphs take and give them; and the effects `infer` and `embed`.

There is no numpy in the sandbox. The elements lie in an `array`, one after the other, and lists are made of them where
they are asked for.
"""

from __future__ import annotations

import struct
import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from struct import pack, unpack
from typing import Any, Literal, get_args

from turnwise_guest.errors import EffectError
from turnwise_guest.jsontext import check_text

DType = Literal[
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
]
"""Types of elements, by numpy's names."""

_CODES: dict[str, str] = dict(zip(get_args(DType), "BbhiqBHIQffd", strict=True))
"""Type codes of `array`. Elements of float16 are kept as float32, which holds them exactly."""

_SWAP = sys.byteorder == "big"


class Tensor:
    """Numbers of one type in a shape. Made of nested lists, or of flat values and a shape.

        Tensor([[1.0, 2.0], [3.0, 4.0]])             # float32, shape (2, 2)
        Tensor([1, 2, 3], dtype="int32")
        Tensor(range(6), shape=(2, 3))               # int64

    Without `dtype`, floats become float32 (what most models take), whole numbers int64, and booleans bool.
    """

    __slots__ = ("data", "dtype", "shape")

    dtype: DType
    shape: tuple[int, ...]
    data: array[Any]
    """All elements, the last dimension first. Those of bool are 0 and 1."""

    def __init__(self, values: Any, dtype: DType | None = None, shape: Sequence[int] | None = None) -> None:
        flat: list[Any]
        if shape is None:
            flat = []
            self.shape = _flatten(values, flat, "values")
        else:
            flat = list(values)
            self.shape = _shape(shape)
            if len(flat) != prod(self.shape):
                raise ValueError(f"{len(flat)} values do not fill the shape {self.shape}, which has {prod(self.shape)}")
        self.dtype = _dtype(flat) if dtype is None else dtype
        if self.dtype not in _CODES:
            raise ValueError(f"dtype is one of {', '.join(_CODES)}, not {dtype!r}")
        self.data = _elements(flat, self.dtype)

    def tolist(self) -> Any:
        """The elements as nested lists, or as a number where there are no dimensions."""
        flat = [bool(value) for value in self.data] if self.dtype == "bool" else self.data.tolist()
        for axis in range(len(self.shape) - 1, 0, -1):
            size = self.shape[axis]
            flat = [flat[i * size : (i + 1) * size] for i in range(prod(self.shape[:axis]))]
        return flat if self.shape else flat[0]

    def __len__(self) -> int:
        """The first dimension."""
        if not self.shape:
            raise TypeError("a tensor without dimensions has no length")
        return self.shape[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tensor):
            return NotImplemented
        return (self.dtype, self.shape, self.data) == (other.dtype, other.shape, other.data)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        values = self.data.tolist()
        shown = ", ".join(f"{value:g}" for value in values[:6]) + (", …" if len(values) > 6 else "")
        return f"<Tensor {self.dtype} {list(self.shape)}: {shown}>"


# -- effects -----------------------------------------------------------------------------------------------------


def infer_request(model: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """One request to run a graph, checked, as a JSON object."""
    _model(model)
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs is a dict of tensors or lists by name, not {inputs!r}")
    tensors = {}
    for name, value in inputs.items():
        if not isinstance(name, str):
            raise TypeError(f"inputs are named by texts, not {name!r}")
        check_text(name, "a name of inputs")
        tensors[name] = _input(value)
    return {"effect": "infer", "model": model, "inputs": tensors}


def _input(value: Any) -> dict[str, Any]:
    if hasattr(value, "content"):
        return {"dtype": value.dtype, "shape": list(value.shape), "content": str(value.content)}
    return to_json(value if isinstance(value, Tensor) else Tensor(value))


def outputs(reply: Any) -> dict[str, Tensor]:
    """Read one reply to `infer`. Raises `EffectError` where it is an error."""
    return {name: from_json(value) for name, value in _ok(reply)["outputs"].items()}


def embed_request(model: str, texts: Sequence[str], truncate: bool) -> dict[str, Any]:
    """One request to embed texts, checked, as a JSON object."""
    _model(model)
    if not isinstance(texts, list | tuple):
        raise TypeError(f"texts is a list of texts, not {texts!r}")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{index}] is a text, not {text!r}")
        check_text(text, f"texts[{index}]")
    stored = [{"content": str(text)} if hasattr(text, "bytes") else text for text in texts]
    body: dict[str, Any] = {"effect": "embed", "model": model, "texts": stored}
    if truncate:
        body["truncate"] = True
    return body


def vectors(reply: Any) -> list[list[float]]:
    """Read one reply to `embed`. Raises `EffectError` where it is an error."""
    found: list[list[float]] = from_json(_ok(reply)["vectors"]).tolist()
    return found


def to_json(tensor: Tensor) -> dict[str, Any]:
    """A tensor as the ABI has it."""
    if tensor.dtype == "float16":
        content = pack(f"<{len(tensor.data)}e", *tensor.data)
    elif _SWAP:
        swapped = array(tensor.data.typecode, tensor.data)
        swapped.byteswap()
        content = swapped.tobytes()
    else:
        content = tensor.data.tobytes()
    return {"dtype": tensor.dtype, "shape": list(tensor.shape), "data": b64encode(content).decode()}


def from_json(value: Any) -> Tensor:
    """The tensor of a reply."""
    tensor = Tensor.__new__(Tensor)
    tensor.dtype = value["dtype"]
    tensor.shape = tuple(value["shape"])
    content = b64decode(value["data"])
    if tensor.dtype == "float16":
        tensor.data = array("f", unpack(f"<{len(content) // 2}e", content))
    else:
        tensor.data = array(_CODES[tensor.dtype], content)
        if _SWAP:
            tensor.data.byteswap()
    return tensor


def _ok(reply: Any) -> Any:
    if "ok" in reply:
        return reply["ok"]
    raise EffectError(reply["error"]["kind"], reply["error"]["message"])


def _model(model: str) -> None:
    if not isinstance(model, str):
        raise TypeError(f"model is the name of a model of the world file, not {model!r}")


# -- values ------------------------------------------------------------------------------------------------------


def _flatten(values: Any, flat: list[Any], where: str) -> tuple[int, ...]:
    """Append the numbers of nested lists to `flat`; their shape."""
    if isinstance(values, bool | int | float):
        flat.append(values)
        return ()
    if isinstance(values, str | bytes) or not isinstance(values, Sequence | range | array):
        raise TypeError(f"{where} is a number or a list of them, not {values!r}")
    shape: tuple[int, ...] | None = None
    for index, value in enumerate(values):
        found = _flatten(value, flat, f"{where}[{index}]")
        if shape is not None and found != shape:
            raise ValueError(f"{where}[{index}] has the shape {found}, and those before it {shape}: rows must be alike")
        shape = found
    return (len(values), *(shape or ()))


def _shape(shape: Sequence[int]) -> tuple[int, ...]:
    for size in shape:
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ValueError(f"shape holds whole numbers of at least 0, not {size!r}")
    return tuple(shape)


def _dtype(flat: Iterable[Any]) -> DType:
    kinds = set(map(type, flat))
    if kinds == {bool}:
        return "bool"
    return "int64" if kinds and kinds <= {int, bool} else "float32"


def _elements(flat: list[Any], dtype: DType) -> array[Any]:
    if dtype == "bool" and not all(value in (0, 1) for value in flat):
        raise ValueError("a bool tensor holds True and False, or 1 and 0")
    try:
        if dtype == "float16":
            return array("f", unpack(f"<{len(flat)}e", pack(f"<{len(flat)}e", *flat)))
        return array(_CODES[dtype], flat)
    except (TypeError, OverflowError, struct.error) as error:
        raise ValueError(f"the values do not fit into {dtype}: {error}") from None
