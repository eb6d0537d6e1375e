"""Tensors between a turn and a graph: their JSON form, and their form in shared memory.

In JSON a tensor is `{"dtype", "shape", "data"}`, `data` being base64 of the elements' little-endian bytes in row-major
order. In a message it is those bytes as they are, at a multiple of `ALIGNMENT`, so that an array can lie over them.
Nothing here needs numpy, which the orchestrator does not import.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import msgspec

from turnwise.inference.requests.generate_request import Refusal

ELEMENT_BYTES: Final[Mapping[str, int]] = {
    "bool": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8,
    "float16": 2, "float32": 4, "float64": 8,
}  # fmt: skip
"""The types of elements, by numpy's names, and their sizes."""

RANK_MAX: Final = 16
DIMENSION_MAX: Final = 2**31 - 1
TENSORS_COUNT_MAX: Final = 64
NAME_CHARS_MAX: Final = 256
INPUT_BYTES_MAX: Final = 64 * 1024 * 1024
OUTPUT_BYTES_MAX: Final = 16 * 1024 * 1024
ALIGNMENT: Final = 64
_HEAD_BYTES: Final = 8

Data = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Tensor:
    """`data` holds the elements, little-endian, in row-major order; a view is valid as long as its message."""

    dtype: str
    shape: tuple[int, ...]
    data: Data


@dataclass(frozen=True, slots=True)
class Parcel:
    """Named tensors that belong together: the inputs of request `id` (`label` names its model), or what it gets.

    The label of a reply is `outputs` (the tensors by name) or `vectors` (the one tensor itself).
    """

    id: int
    label: str
    tensors: Mapping[str, Tensor]


# -- JSON --------------------------------------------------------------------------------------------------------


def from_json(value: object, where: str) -> Tensor:
    """A tensor of a request. Raises Refusal that names the member."""
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data"}:
        raise Refusal("refused", f"{where} must be an object with dtype, shape and data")
    dtype, data = value["dtype"], value["data"]
    size = ELEMENT_BYTES.get(dtype) if isinstance(dtype, str) else None
    if size is None:
        raise Refusal("refused", f"{where}.dtype must be one of {', '.join(ELEMENT_BYTES)}")
    shape = _shape(value["shape"], where)
    if not isinstance(data, str):
        raise Refusal("refused", f"{where}.data must be text in base64")
    expected = prod(shape) * size
    if expected > INPUT_BYTES_MAX:
        raise Refusal("refused", f"{where} has {expected:,} bytes, at most {INPUT_BYTES_MAX:,} are allowed")
    try:
        content = binascii.a2b_base64(data.encode("ascii"), strict_mode=True)
    except ValueError:  # binascii.Error and UnicodeEncodeError are such
        raise Refusal("refused", f"{where}.data is not base64") from None
    if len(content) != expected:
        raise Refusal(
            "refused",
            f"{where}.data has {len(content):,} bytes, and {dtype} of shape {list(shape)} takes {expected:,}",
        )
    if dtype == "bool" and content.strip(b"\0\1"):
        raise Refusal("refused", f"{where}.data has bytes other than 0 and 1, which bool takes")
    return Tensor(dtype, shape, content)


def _shape(value: object, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > RANK_MAX:
        raise Refusal("refused", f"{where}.shape must be a list of at most {RANK_MAX} whole numbers")
    for size in value:
        if type(size) is not int or not 0 <= size <= DIMENSION_MAX:
            raise Refusal("refused", f"{where}.shape must hold whole numbers from 0 to {DIMENSION_MAX}")
    return tuple(value)


def to_json(tensor: Tensor) -> dict[str, Any]:
    """The JSON form: what `from_json` reads."""
    return {"dtype": tensor.dtype, "shape": tensor.shape, "data": b64encode(tensor.data).decode("ascii")}


# -- shared memory -----------------------------------------------------------------------------------------------


class _Place(msgspec.Struct):
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int


class _Contents(msgspec.Struct):
    id: int
    label: str
    tensors: list[_Place]


def pack(parcels: Sequence[Parcel]) -> list[Data]:
    """The parts of one message: a head that says where everything lies, then the tensors."""
    parts: list[Data] = []
    contents: list[_Contents] = []
    at = 0
    for parcel in parcels:
        places = []
        for name, tensor in parcel.tensors.items():
            size = memoryview(tensor.data).nbytes
            places.append(_Place(name, tensor.dtype, tensor.shape, at, size))
            parts += [tensor.data, bytes(-size % ALIGNMENT)]
            at += size + -size % ALIGNMENT
        contents.append(_Contents(parcel.id, parcel.label, places))
    head = msgspec.json.encode(contents)
    length = len(head).to_bytes(_HEAD_BYTES, "little")
    return [length, head, bytes(-(_HEAD_BYTES + len(head)) % ALIGNMENT), *parts]


def unpack(message: Data) -> Iterator[Parcel]:
    """What `pack` packed. The tensors are views of the message. Raises msgspec.DecodeError for anything else."""
    view = memoryview(message)
    start = _HEAD_BYTES + int.from_bytes(view[:_HEAD_BYTES], "little")
    contents = msgspec.json.decode(view[_HEAD_BYTES:start], type=list[_Contents])
    base = start + -start % ALIGNMENT
    for item in contents:
        tensors = {}
        for place in item.tensors:
            data = view[base + place.offset : base + place.offset + place.size]
            size = ELEMENT_BYTES.get(place.dtype, 0) * prod(place.shape)
            if place.offset < 0 or place.offset % ALIGNMENT or not len(data) == place.size == size:
                raise msgspec.DecodeError(f"the tensor {place.name!r} is not where the head says")
            tensors[place.name] = Tensor(place.dtype, place.shape, data)
        yield Parcel(item.id, item.label, tensors)
