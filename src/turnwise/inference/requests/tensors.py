"""Tensors of a request or a reply, and their JSON form.

In JSON a tensor is `{"dtype", "shape", "data"}`, `data` being base64 of the elements' little-endian bytes in row-major
order. Nothing here needs numpy, which the orchestrator does not import.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from turnwise.inference.requests.fields import refuse

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

Data = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor outside any library.

    - `dtype`: one of `ELEMENT_BYTES`
    - `shape`: empty for a single number
    - `data`: the elements, little-endian, in row-major order; a view is valid as long as its message
    """

    dtype: str
    shape: tuple[int, ...]
    data: Data


def declared_bytes(value: object, where: str) -> int:
    """Return the size of a tensor of a request, by its type and shape; its data is not looked at. Raises Refusal."""
    return _header(value, where)[2]


def is_content(value: object) -> bool:
    """Return whether a tensor of a request names a content instead of holding its data."""
    return isinstance(value, dict) and "content" in value


def _of_content(value: dict[str, Any], where: str, contents: Mapping[str, Data]) -> Tensor:
    """A tensor whose elements are a content, which is not copied."""
    if value.keys() != {"dtype", "shape", "content"}:
        refuse(f"{where} must be an object with dtype, shape and content")
    dtype, handle = value["dtype"], value["content"]
    size = ELEMENT_BYTES.get(dtype) if isinstance(dtype, str) else None
    if size is None:
        refuse(f"{where}.dtype must be one of {', '.join(ELEMENT_BYTES)}")
    shape = _shape(value["shape"], where)
    content = contents.get(handle) if isinstance(handle, str) else None
    if content is None:
        refuse(f"{where}.content must be the handle of a content")
    expected = prod(shape) * size
    if len(content) != expected:
        refuse(f"{where}.content has {len(content):,} bytes, and {dtype} of shape {list(shape)} takes {expected:,}")
    if dtype == "bool" and bytes(content).strip(b"\0\1"):
        refuse(f"{where}.content has bytes other than 0 and 1, which bool takes")
    return Tensor(dtype, shape, content)


def from_json(value: object, where: str, contents: Mapping[str, Data] | None = None) -> Tensor:
    """Read a tensor of a request, which messages call `where`. `contents` are by handle. Raises Refusal."""
    if isinstance(value, dict) and "content" in value:
        return _of_content(value, where, contents or {})
    dtype, shape, expected, data = _header(value, where)
    if len(data) > expected // 3 * 4 + 16:  # before anything is decoded
        refuse(f"{where}.data has {len(data):,} characters, and {dtype} takes {expected:,} bytes here")
    try:
        content = binascii.a2b_base64(data.encode("ascii"), strict_mode=True)
    except ValueError:  # binascii.Error and UnicodeEncodeError are such
        refuse(f"{where}.data is not base64")
    if len(content) != expected:
        refuse(f"{where}.data has {len(content):,} bytes, and {dtype} of shape {list(shape)} takes {expected:,}")
    if dtype == "bool" and content.strip(b"\0\1"):
        refuse(f"{where}.data has bytes other than 0 and 1, which bool takes")
    return Tensor(dtype, shape, content)


def _header(value: object, where: str) -> tuple[str, tuple[int, ...], int, str]:
    """Type, shape, size (bytes) and data of a tensor, its data as text."""
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data"}:
        refuse(f"{where} must be an object with dtype, shape and data")
    dtype, data = value["dtype"], value["data"]
    size = ELEMENT_BYTES.get(dtype) if isinstance(dtype, str) else None
    if size is None:
        refuse(f"{where}.dtype must be one of {', '.join(ELEMENT_BYTES)}")
    shape = _shape(value["shape"], where)
    if not isinstance(data, str):
        refuse(f"{where}.data must be text in base64")
    expected = prod(shape) * size
    if expected > INPUT_BYTES_MAX:
        refuse(f"{where} has {expected:,} bytes, at most {INPUT_BYTES_MAX:,} are allowed")
    return dtype, shape, expected, data


def _shape(value: object, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > RANK_MAX:
        refuse(f"{where}.shape must be a list of at most {RANK_MAX} whole numbers")
    for size in value:
        if type(size) is not int or not 0 <= size <= DIMENSION_MAX:
            refuse(f"{where}.shape must hold whole numbers from 0 to {DIMENSION_MAX}")
    return tuple(value)


def to_json(tensor: Tensor) -> dict[str, Any]:
    """Make the JSON form, which `from_json` reads."""
    return {"dtype": tensor.dtype, "shape": tensor.shape, "data": b64encode(tensor.data).decode("ascii")}
