"""Tensors that travel together, and their form in shared memory.

In a message the elements of a tensor lie as they are, at a multiple of `ALIGNMENT`, so that an array can lie over them.
A head says where each tensor is. A few that are large come before it, each as a message of its own, so that one which
lies in shared memory already is not copied into another message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import msgspec

from turnwise.inference.requests.tensors import ELEMENT_BYTES, Data, Tensor

ALIGNMENT: Final = 64

APART_BYTES_MIN: Final = 8 * 1024 * 1024
"""Size from which on a tensor comes as a message of its own."""

APART_COUNT_MAX: Final = 2
"""Tensors of one message of parcels that come so: all are held until the last has been used."""

_HEAD_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Parcel:
    """Named tensors that belong together.

    - `id`: of the request
    - `label`: of a request, the name of its model; of a reply `outputs` (the tensors by name) or `vectors` (the one
      tensor itself)
    - `tensors`: the inputs of a request, or what it gets
    """

    id: int
    label: str
    tensors: Mapping[str, Tensor]

    @property
    def data_bytes(self) -> int:
        """Size of all tensors together."""
        return sum(memoryview(tensor.data).nbytes for tensor in self.tensors.values())


class _Place(msgspec.Struct):
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int
    apart: int | None = None
    """Number of the message that it is, among those before the head; None: it is behind the head."""


class _Contents(msgspec.Struct):
    id: int
    label: str
    tensors: list[_Place]


def pack(parcels: Sequence[Parcel], apart: list[Data] | None = None) -> list[Data]:
    """Make the parts of one message: a head that says where everything lies, then the tensors.

    `apart` takes up the large ones, which are to be sent before it; None: all come in the message.
    """
    parts: list[Data] = []
    contents: list[_Contents] = []
    at = 0
    for parcel in parcels:
        places = []
        for name, tensor in parcel.tensors.items():
            size = memoryview(tensor.data).nbytes
            if apart is not None and size >= APART_BYTES_MIN and len(apart) < APART_COUNT_MAX:
                places.append(_Place(name, tensor.dtype, tensor.shape, 0, size, len(apart)))
                apart.append(tensor.data)
                continue
            places.append(_Place(name, tensor.dtype, tensor.shape, at, size))
            parts += [tensor.data, bytes(-size % ALIGNMENT)]
            at += size + -size % ALIGNMENT
        contents.append(_Contents(parcel.id, parcel.label, places))
    head = msgspec.json.encode(contents)
    length = len(head).to_bytes(_HEAD_BYTES, "little")
    return [length, head, bytes(-(_HEAD_BYTES + len(head)) % ALIGNMENT), *parts]


def unpack(message: Data, apart: Sequence[Data] = ()) -> Iterator[Parcel]:
    """Read what `pack` made. The tensors are views of the message, and of those that came before it.

    Raises msgspec.DecodeError for anything else.
    """
    view = memoryview(message)
    start = _HEAD_BYTES + int.from_bytes(view[:_HEAD_BYTES], "little")
    contents = msgspec.json.decode(view[_HEAD_BYTES:start], type=list[_Contents])
    base = start + -start % ALIGNMENT
    for item in contents:
        tensors = {}
        for place in item.tensors:
            if place.apart is None:
                data = view[base + place.offset : base + place.offset + place.size]
            else:
                data = memoryview(apart[place.apart] if 0 <= place.apart < len(apart) else b"")
            size = ELEMENT_BYTES.get(place.dtype, 0) * prod(place.shape)
            if place.offset < 0 or place.offset % ALIGNMENT or not len(data) == place.size == size:
                raise msgspec.DecodeError(f"the tensor {place.name!r} is not where the head says")
            tensors[place.name] = Tensor(place.dtype, place.shape, data)
        yield Parcel(item.id, item.label, tensors)
