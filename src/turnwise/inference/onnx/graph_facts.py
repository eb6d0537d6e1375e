"""Facts of a `model.onnx` before it is loaded: its operators, and the files that hold its weights.

ONNX Runtime reads a graph and whatever file the graph names. A model folder is untrusted, so we look first: the names
must stay inside the folder, the files must be there, and they must be long enough for the shapes that are declared.
This is a reader of the protobuf wire format for the few fields that matter (numbers from onnx.proto3); everything else
is skipped by length, so a graph with its weights inside costs no more than its number of nodes.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Final

from turnwise.errors import ModelError

GRAPH_BYTES_MAX: Final = 2**31 - 1
NESTING_MAX: Final = 32
DIMENSIONS_MAX: Final = 64
TENSOR_BYTES_MAX: Final = 2**44
_HALF: Final = 10
_BOOL: Final = 9
MATMUL_N_BITS: Final = "com.microsoft:MatMulNBits"
RANDOM: Final = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli", "Sampling"}
)
"""Operators that draw random numbers, of whatever domain."""
TRAINING_INPUT: Final = {"Dropout": 2, "BitmaskDropout": 2, "BiasDropout": 4, "BitmaskBiasDropout": 4}
"""Operators that draw random numbers in training mode only, and which input is that mode."""

# Bits of one element, by TensorProto.DataType.
_ELEMENT_BITS: Final = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExternalTensor:
    """Weights that lie in another file: `size` is what shape and type need, from `offset` on (bytes)."""

    name: str
    location: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Quantised:
    """Form of a MatMulNBits node: bits of a weight, weights a block, accuracy level (0: unset)."""

    bits: int
    block: int
    accuracy: int


Shape = tuple[int | None, ...]
"""Dimensions of a tensor; None for one that has a name or nothing instead of a number."""


@dataclass(slots=True)
class Graph:
    """Facts that a graph states of itself.

    `operators` counts the nodes of each `domain:type`, `quantised` those of each kind of MatMulNBits, `external` are
    tensors in other files; subgraphs and functions included. `inputs` and `outputs` are the whole graph's, `half` those
    of them that are in fp16. `random` are the operators that draw random numbers, in any branch or function.
    """

    operators: dict[str, int] = field(default_factory=dict)
    quantised: dict[Quantised, int] = field(default_factory=dict)
    external: list[ExternalTensor] = field(default_factory=list)
    inputs: dict[str, Shape] = field(default_factory=dict)
    outputs: dict[str, Shape] = field(default_factory=dict)
    half: set[str] = field(default_factory=set)
    random: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Scope:
    """Names of one graph or function: those that are always one `false`, and those that a caller can give."""

    false: set[str] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)


def _is_constant_false(name: str, scopes: tuple[_Scope, ...]) -> bool:
    for scope in reversed(scopes):
        if name in scope.inputs:
            return False
        if name in scope.false:
            return True
    return False


class _Damaged(ValueError):
    """The bytes are not an ONNX model."""


def read_graph(path: Path) -> Graph:
    """Read `model.onnx`. Raises ModelError if it is not an ONNX model."""
    expected = "an ONNX model"
    hint = "The file is damaged or incomplete: copy it again from where the model comes from."
    try:
        size = path.stat().st_size
        if size == 0 or size > GRAPH_BYTES_MAX:
            raise ModelError(f"has {size} bytes", where=str(path), expected=expected, actual=size, hint=hint)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            graph = Graph()
            with memoryview(mapped) as view:
                _Reader(view, graph).model()
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except _Damaged as error:
        raise ModelError(f"is not an ONNX model: {error}", where=str(path), expected=expected, hint=hint) from error
    return graph


class _Reader:
    """Walks one model's messages. A message is the range [start, end) of the file."""

    def __init__(self, view: memoryview, graph: Graph) -> None:
        self._view = view
        self._graph = graph
        self._scopes: list[_Scope] = []
        self._training: list[tuple[str, str, tuple[_Scope, ...]]] = []

    def model(self) -> None:
        found = False
        for number, start, end in self._fields(0, len(self._view)):
            if number == 7:
                found = True
                self._graph_message(start, end, 0)
            elif number == 25:  # FunctionProto: node = 7, attribute_proto = 11
                self._scopes.append(_Scope())
                self._nodes(start, end, 0, node=7, attribute=11)
                self._scopes.pop()
        if not found:
            raise _Damaged("it has no graph")
        self._graph.random |= {kind for kind, flag, scopes in self._training if not _is_constant_false(flag, scopes)}

    def _graph_message(self, start: int, end: int, depth: int) -> None:
        """GraphProto: node = 1, initializer = 5, input = 11, output = 12, sparse_initializer = 15."""
        self._scopes.append(_Scope())
        for number, low, high in self._fields(start, end):
            if number == 1:
                self._node(low, high, depth)
            if number == 11:
                self._scopes[-1].inputs.update(self._text(*span) for span in self._within(low, high, (1,)))
            if number in (11, 12) and depth == 0:
                name, shape = self._value(low, high)
                (self._graph.inputs if number == 11 else self._graph.outputs)[name] = shape
            elif number == 5:
                self._tensor(low, high)
                if self._is_false(low, high):
                    self._scopes[-1].false.update(self._text(*span) for span in self._within(low, high, (8,)))
            elif number == 15:
                self._sparse(low, high)
        self._scopes.pop()

    def _nodes(self, start: int, end: int, depth: int, *, node: int, attribute: int) -> None:
        for number, low, high in self._fields(start, end):
            if number == node:
                self._node(low, high, depth)
            elif number == attribute:
                self._attribute(low, high, depth)

    def _node(self, start: int, end: int, depth: int) -> None:
        """NodeProto: input = 1, output = 2, op_type = 4, attribute = 5, domain = 7."""
        kind = domain = ""
        names: dict[int, list[str]] = {1: [], 2: []}
        integers: dict[str, int] = {}
        false = False
        for number, low, high in self._fields(start, end):
            if number in names:
                names[number].append(self._text(low, high))
            elif number == 4:
                kind = self._text(low, high)
            elif number == 7:
                domain = self._text(low, high)
            elif number == 5:
                integers.update(self._attribute(low, high, depth))
                false = false or any(self._is_false(*span) for span in self._within(low, high, (5,)))
        name = f"{domain}:{kind}" if domain and domain != "ai.onnx" else kind
        self._graph.operators[name] = self._graph.operators.get(name, 0) + 1
        if kind == "Constant" and false:
            self._scopes[-1].false.update(names[2])
        if kind in RANDOM:
            self._graph.random.add(kind)
        elif kind in TRAINING_INPUT and (flag := "".join(names[1][TRAINING_INPUT[kind] :][:1])):
            self._training.append((f"{kind} in training mode", flag, tuple(self._scopes)))
        if name == MATMUL_N_BITS:
            form = Quantised(integers.get("bits", 4), integers.get("block_size", 0), integers.get("accuracy_level", 0))
            self._graph.quantised[form] = self._graph.quantised.get(form, 0) + 1

    def _attribute(self, start: int, end: int, depth: int) -> dict[str, int]:
        """AttributeProto: its name and number, if it is one.

        name = 1, i = 3, t = 5, g = 6, tensors = 10, graphs = 11, sparse_tensor = 22, sparse_tensors = 23.
        """
        if depth >= NESTING_MAX:
            raise _Damaged(f"graphs are nested more than {NESTING_MAX} deep")
        name, value = "", None
        for number, low, high in self._fields(start, end):
            if number == 1:
                name = self._text(low, high)
            elif number == 3:
                value = low
            elif number in (5, 10):
                self._tensor(low, high)
            elif number in (6, 11):
                self._graph_message(low, high, depth + 1)
            elif number in (22, 23):
                self._sparse(low, high)
        return {} if value is None else {name: value}

    def _value(self, start: int, end: int) -> tuple[str, Shape]:
        """ValueInfoProto: name = 1, type = 2; tensor_type = 1; elem_type = 1, shape = 2; dim = 1; dim_value = 1."""
        name, half = "", False
        dims: list[int | None] = []
        for number, low, high in self._fields(start, end):
            if number == 1:
                name = self._text(low, high)
            elif number == 2:
                half = any((1, _HALF, -1) in self._fields(*span) for span in self._within(low, high, (1,)))
                for span in self._within(low, high, (1, 2, 1)):
                    dims.append(next((size for key, size, end in self._fields(*span) if key == 1 and end < 0), None))
                    if len(dims) > DIMENSIONS_MAX:
                        raise _Damaged(f"{name!r} has more than {DIMENSIONS_MAX} dimensions")
        if half:
            self._graph.half.add(name)
        return name, tuple(dims)

    def _within(self, start: int, end: int, path: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """The messages that are found from field to field along `path`."""
        for number, low, high in self._fields(start, end):
            if number == path[0]:
                if len(path) == 1:
                    yield low, high
                else:
                    yield from self._within(low, high, path[1:])

    def _sparse(self, start: int, end: int) -> None:
        """SparseTensorProto: values = 1, indices = 2."""
        for number, low, high in self._fields(start, end):
            if number in (1, 2):
                self._tensor(low, high)

    def _tensor(self, start: int, end: int) -> None:
        """TensorProto: dims = 1, data_type = 2, name = 8, external_data = 13, data_location = 14 (1: external)."""
        dims: list[int] = []
        name, kind, outside = "", 0, False
        entries: dict[str, str] = {}
        for number, low, high in self._fields(start, end):
            if number == 1:
                dims.extend(self._integers(low, high))
                if len(dims) > DIMENSIONS_MAX:
                    raise _Damaged(f"a tensor has more than {DIMENSIONS_MAX} dimensions")
            elif number == 2:
                kind = low
            elif number == 8:
                name = self._text(low, high)
            elif number == 13:
                key, value = self._entry(low, high)
                entries[key] = value
            elif number == 14:
                outside = low == 1
        if outside or entries:
            self._graph.external.append(_external(name, kind, dims, entries))

    def _is_false(self, start: int, end: int) -> bool:
        """Whether a TensorProto is one `false`: dims = 1, data_type = 2, int32_data = 5, raw_data = 9."""
        kind, values, size = 0, b"\1", 1
        for number, low, high in self._fields(start, end):
            if number == 1:
                size *= prod(self._integers(low, high))
            elif number == 2:
                kind = low
            elif number == 5 and high < 0:
                values = bytes([low != 0])
            elif number in (5, 9) and high - low == 1:
                values = bytes(self._view[low:high])
        return kind == _BOOL and size == 1 and values == b"\0"

    def _entry(self, start: int, end: int) -> tuple[str, str]:
        """StringStringEntryProto: key = 1, value = 2."""
        texts = {number: self._text(low, high) for number, low, high in self._fields(start, end) if number in (1, 2)}
        return texts.get(1, ""), texts.get(2, "")

    def _integers(self, start: int, end: int) -> Iterator[int]:
        """Values of a repeated int64 that may be packed. A single value is given as (value, None) by `_fields`."""
        if end < 0:
            yield start
            return
        if end - start > 10 * DIMENSIONS_MAX:  # a number has at most 10 bytes
            raise _Damaged(f"a tensor has more than {DIMENSIONS_MAX} dimensions")
        while start < end:
            value, start = self._varint(start, end)
            yield value

    def _text(self, start: int, end: int) -> str:
        if end < 0:
            raise _Damaged("a text field holds a number")
        try:
            return bytes(self._view[start:end]).decode()
        except UnicodeDecodeError as error:
            raise _Damaged("a name is not UTF-8") from error

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """(field number, start, end) of each field; a number has its value for start and -1 for end."""
        if end < 0:
            raise _Damaged("a number where a message should be")
        while start < end:
            tag, start = self._varint(start, end)
            number, wire = tag >> 3, tag & 7
            if wire == 0:
                value, start = self._varint(start, end)
                yield number, value, -1
                continue
            if wire == 2:
                size, start = self._varint(start, end)
            elif wire in (1, 5):
                size = 8 if wire == 1 else 4
            else:
                raise _Damaged(f"wire type {wire} at byte {start}")
            if number == 0 or size > end - start:
                raise _Damaged(f"a field goes beyond its message at byte {start}")
            yield number, start, start + size
            start += size

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while start < end and shift < 64:
            byte = self._view[start]
            start += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, start
            shift += 7
        raise _Damaged(f"a number is cut off at byte {start}")


def _external(name: str, kind: int, dims: list[int], entries: dict[str, str]) -> ExternalTensor:
    bits = _ELEMENT_BITS.get(kind)
    if bits is None:
        raise _Damaged(f"tensor {name!r} has type {kind}, which cannot lie in another file")
    size = (prod(dims) * bits + 7) // 8
    if any(dim >= 2**63 for dim in dims) or size > TENSOR_BYTES_MAX:
        raise _Damaged(f"tensor {name!r} declares the shape {dims}")
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries["length"]) if "length" in entries else size
    except ValueError as error:
        raise _Damaged(f"tensor {name!r} has an offset or length that is no number") from error
    if offset < 0 or length < size:
        raise _Damaged(f"tensor {name!r} needs {size} bytes and declares {length} from {offset}")
    return ExternalTensor(name, entries.get("location", ""), offset, max(size, length))
