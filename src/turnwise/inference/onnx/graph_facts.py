"""Facts of a `model.onnx` before it is loaded: its operators, and the files that hold its weights.

ONNX Runtime reads a graph and whatever file the graph names. A model folder is untrusted, so we look first: the names
must stay inside the folder, the files must be there, and they must be long enough for the shapes that are declared.
Of the few fields that matter; everything else is skipped by length, so a graph with its weights inside costs no more
than its number of nodes.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Final

from turnwise.errors import ModelError
from turnwise.inference.onnx import schema
from turnwise.inference.onnx.protobuf import GRAPH_BYTES_MAX, Field, Unreadable, fields, text, varint

NESTING_MAX: Final = 32
DIMENSIONS_MAX: Final = 64
TENSOR_BYTES_MAX: Final = 2**44
NUMBER_BYTES_MAX: Final = 10
"""Bytes of the longest whole number as protobuf writes it."""
GROUP_QUERY_ATTENTION: Final = "com.microsoft:GroupQueryAttention"
PAST_INPUTS: Final = slice(3, 5)
"""Inputs of GroupQueryAttention with the KV cache: keys, then values."""
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
    of them that are in fp16. `random` are the operators that draw random numbers, in any branch or function. `loops`
    are the numbers of passes of the loops, by how deep they stand in other graphs; None for one that the data decides.
    `windowed` are the inputs with the past of attention that can keep a window of tokens only, with that window.
    """

    operators: dict[str, int] = field(default_factory=dict)
    quantised: dict[Quantised, int] = field(default_factory=dict)
    external: list[ExternalTensor] = field(default_factory=list)
    inputs: dict[str, Shape] = field(default_factory=dict)
    outputs: dict[str, Shape] = field(default_factory=dict)
    half: set[str] = field(default_factory=set)
    random: set[str] = field(default_factory=set)
    loops: list[tuple[int, int | None]] = field(default_factory=list)
    windowed: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Scope:
    """Names of one graph or function: those that are always one `false` or one number, and those of its inputs."""

    false: set[str] = field(default_factory=set)
    numbers: dict[str, int] = field(default_factory=dict)
    inputs: set[str] = field(default_factory=set)


def _is_constant_false(name: str, scopes: tuple[_Scope, ...]) -> bool:
    for scope in reversed(scopes):
        if name in scope.inputs:
            return False
        if name in scope.false:
            return True
    return False


def _constant_number(name: str, scopes: tuple[_Scope, ...]) -> int | None:
    for scope in reversed(scopes):
        if name in scope.inputs:
            return None
        if name in scope.numbers:
            return scope.numbers[name]
    return None


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
    except Unreadable as error:
        raise ModelError(f"is not an ONNX model: {error}", where=str(path), expected=expected, hint=hint) from error
    return graph


class _Reader:
    """Walks one model's messages. A message is the content of a field."""

    def __init__(self, view: memoryview, graph: Graph) -> None:
        self._view = view
        self._graph = graph
        self._scopes: list[_Scope] = []
        self._training: list[tuple[str, str, tuple[_Scope, ...]]] = []
        self._loops: list[tuple[int, str, tuple[_Scope, ...]]] = []

    def model(self) -> None:
        found = False
        for part in fields(self._view, 0, len(self._view)):
            if part.number == schema.ModelProto.GRAPH:
                found = True
                self._graph_message(part, 0)
            elif part.number == schema.ModelProto.FUNCTIONS:
                self._function(part)
        if not found:
            raise Unreadable("it has no graph")
        self._graph.loops += [(depth, _constant_number(count, scopes)) for depth, count, scopes in self._loops]
        self._graph.random |= {kind for kind, flag, scopes in self._training if not _is_constant_false(flag, scopes)}

    def _function(self, function: Field) -> None:
        self._scopes.append(_Scope())
        for part in self._parts(function):
            if part.number == schema.FunctionProto.NODE:
                self._node(part, 0)
            elif part.number == schema.FunctionProto.ATTRIBUTE_DEFAULT:
                self._attribute(part, 0)
        self._scopes.pop()

    def _graph_message(self, graph: Field, depth: int) -> None:
        of = schema.GraphProto
        self._scopes.append(_Scope())
        for part in self._parts(graph):
            if part.number == of.NODE:
                self._node(part, depth)
            if part.number == of.INPUT:
                names = self._within(part, (schema.ValueInfoProto.NAME,))
                self._scopes[-1].inputs.update(text(self._view, name) for name in names)
            if part.number in (of.INPUT, of.OUTPUT) and depth == 0:
                name, shape = self._value(part)
                (self._graph.inputs if part.number == of.INPUT else self._graph.outputs)[name] = shape
            elif part.number == of.INITIALIZER:
                self._tensor(part)
                if self._is_false(part):
                    names = self._within(part, (schema.TensorProto.NAME,))
                    self._scopes[-1].false.update(text(self._view, name) for name in names)
                elif (number := self._number(part)) is not None:
                    names = self._within(part, (schema.TensorProto.NAME,))
                    self._scopes[-1].numbers.update((text(self._view, name), number) for name in names)
            elif part.number == of.SPARSE_INITIALIZER:
                self._sparse(part)
        self._scopes.pop()

    def _node(self, node: Field, depth: int) -> None:
        of = schema.NodeProto
        kind = domain = ""
        names: dict[int, list[str]] = {of.INPUT: [], of.OUTPUT: []}
        integers: dict[str, int] = {}
        false = False
        number: int | None = None
        for part in self._parts(node):
            if part.number in names:
                names[part.number].append(text(self._view, part))
            elif part.number == of.OP_TYPE:
                kind = text(self._view, part)
            elif part.number == of.DOMAIN:
                domain = text(self._view, part)
            elif part.number == of.ATTRIBUTE:
                integers.update(self._attribute(part, depth))
                for tensor in self._within(part, (schema.AttributeProto.T,)):
                    false = false or self._is_false(tensor)
                    number = self._number(tensor)
        name = f"{domain}:{kind}" if domain and domain != "ai.onnx" else kind
        self._graph.operators[name] = self._graph.operators.get(name, 0) + 1
        if kind == "Constant" and false:
            self._scopes[-1].false.update(names[of.OUTPUT])
        if kind == "Constant" and number is not None:
            self._scopes[-1].numbers.update((output, number) for output in names[of.OUTPUT])
        if kind == "Loop":
            self._loops.append((depth, "".join(names[of.INPUT][:1]), tuple(self._scopes)))
        if kind in RANDOM:
            self._graph.random.add(kind)
        elif kind in TRAINING_INPUT and (flag := "".join(names[of.INPUT][TRAINING_INPUT[kind] :][:1])):
            self._training.append((f"{kind} in training mode", flag, tuple(self._scopes)))
        if name == GROUP_QUERY_ATTENTION and integers.get("sliding_window_cache") == 1:
            self._graph.windowed |= dict.fromkeys(names[of.INPUT][PAST_INPUTS], integers.get("local_window_size", 0))
        if name == MATMUL_N_BITS:
            form = Quantised(integers.get("bits", 4), integers.get("block_size", 0), integers.get("accuracy_level", 0))
            self._graph.quantised[form] = self._graph.quantised.get(form, 0) + 1

    def _attribute(self, attribute: Field, depth: int) -> dict[str, int]:
        """Its name and number, if it is one."""
        if depth >= NESTING_MAX:
            raise Unreadable(f"graphs are nested more than {NESTING_MAX} deep")
        of = schema.AttributeProto
        name, value = "", None
        for part in self._parts(attribute):
            if part.number == of.NAME:
                name = text(self._view, part)
            elif part.number == of.I:
                value = part.value
            elif part.number in (of.T, of.TENSORS):
                self._tensor(part)
            elif part.number in (of.G, of.GRAPHS):
                self._graph_message(part, depth + 1)
            elif part.number in (of.SPARSE_TENSOR, of.SPARSE_TENSORS):
                self._sparse(part)
        return {} if value is None else {name: value}

    def _value(self, value: Field) -> tuple[str, Shape]:
        """Name and shape of an input or output."""
        of = schema.ValueInfoProto
        name, half = "", False
        dims: list[int | None] = []
        for part in self._parts(value):
            if part.number == of.NAME:
                name = text(self._view, part)
            elif part.number == of.TYPE:
                kinds = [kind.value for kind in self._within(part, (of.TENSOR, of.ELEMENT_TYPE))]
                half = schema.DataType.HALF in kinds
                for dim in self._within(part, (of.TENSOR, of.SHAPE, of.DIM)):
                    sizes = (size.value for size in self._parts(dim) if size.number == of.DIM_VALUE)
                    dims.append(next((size for size in sizes if size is not None), None))
                    if len(dims) > DIMENSIONS_MAX:
                        raise Unreadable(f"{name!r} has more than {DIMENSIONS_MAX} dimensions")
        if half:
            self._graph.half.add(name)
        return name, tuple(dims)

    def _sparse(self, sparse: Field) -> None:
        for part in self._parts(sparse):
            if part.number in (schema.SparseTensorProto.VALUES, schema.SparseTensorProto.INDICES):
                self._tensor(part)

    def _tensor(self, tensor: Field) -> None:
        of = schema.TensorProto
        dims: list[int] = []
        name, kind, outside = "", 0, False
        entries: dict[str, str] = {}
        for part in self._parts(tensor):
            if part.number == of.DIMS:
                dims.extend(self._integers(part))
                if len(dims) > DIMENSIONS_MAX:
                    raise Unreadable(f"a tensor has more than {DIMENSIONS_MAX} dimensions")
            elif part.number == of.DATA_TYPE:
                kind = part.value or 0
            elif part.number == of.NAME:
                name = text(self._view, part)
            elif part.number == of.EXTERNAL_DATA:
                key, value = self._entry(part)
                entries[key] = value
            elif part.number == of.DATA_LOCATION:
                outside = part.value == of.EXTERNAL
        if outside or entries:
            self._graph.external.append(_external(name, kind, dims, entries))

    def _is_false(self, tensor: Field) -> bool:
        """Return True if a tensor is one `false`."""
        of = schema.TensorProto
        kind, values, size = 0, b"\1", 1
        for part in self._parts(tensor):
            if part.number == of.DIMS:
                size *= prod(self._integers(part))
            elif part.number == of.DATA_TYPE:
                kind = part.value or 0
            elif part.number == of.INT32_DATA and part.value is not None:
                values = bytes([part.value != 0])
            elif part.number in (of.INT32_DATA, of.RAW_DATA) and part.high - part.low == 1:
                values = bytes(self._view[part.low : part.high])
        return kind == schema.DataType.BOOL and size == 1 and values == b"\0"

    def _number(self, tensor: Field) -> int | None:
        """Return the number that a tensor of one int64 holds; None for every other tensor."""
        of = schema.TensorProto
        kind, size = 0, 1
        values: list[int] = []
        for part in self._parts(tensor):
            if part.number == of.DIMS:
                size *= prod(self._integers(part))
            elif part.number == of.DATA_TYPE:
                kind = part.value or 0
            elif part.number == of.INT64_DATA and (part.value is not None or part.high - part.low <= NUMBER_BYTES_MAX):
                values += self._integers(part)
            elif part.number == of.RAW_DATA and part.high - part.low == 8:
                values.append(int.from_bytes(self._view[part.low : part.high], "little"))
        return values[0] if kind == schema.DataType.INT64 and size == 1 and len(values) == 1 else None

    def _entry(self, entry: Field) -> tuple[str, str]:
        known = (schema.StringStringEntryProto.KEY, schema.StringStringEntryProto.VALUE)
        texts = {part.number: text(self._view, part) for part in self._parts(entry) if part.number in known}
        return texts.get(schema.StringStringEntryProto.KEY, ""), texts.get(schema.StringStringEntryProto.VALUE, "")

    def _integers(self, field: Field) -> Iterator[int]:
        """Values of a repeated int64, which may be packed."""
        if field.value is not None:
            yield field.value
            return
        start, end = field.low, field.high
        if end - start > 10 * DIMENSIONS_MAX:  # a number has at most 10 bytes
            raise Unreadable(f"a tensor has more than {DIMENSIONS_MAX} dimensions")
        while start < end:
            value, start = varint(self._view, start, end)
            yield value

    def _parts(self, message: Field) -> Iterator[Field]:
        """Yield the fields of a message."""
        if message.value is not None:
            raise Unreadable("a number where a message should be")
        return fields(self._view, message.low, message.high)

    def _within(self, message: Field, path: tuple[int, ...]) -> Iterator[Field]:
        """Yield the values found from field to field along `path`."""
        for part in self._parts(message):
            if part.number == path[0]:
                if len(path) == 1:
                    yield part
                else:
                    yield from self._within(part, path[1:])


def _external(name: str, kind: int, dims: list[int], entries: dict[str, str]) -> ExternalTensor:
    bits = _ELEMENT_BITS.get(kind)
    if bits is None:
        raise Unreadable(f"tensor {name!r} has type {kind}, which cannot lie in another file")
    size = (prod(dims) * bits + 7) // 8
    if any(dim >= 2**63 for dim in dims) or size > TENSOR_BYTES_MAX:
        raise Unreadable(f"tensor {name!r} declares the shape {dims}")
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries["length"]) if "length" in entries else size
    except ValueError as error:
        raise Unreadable(f"tensor {name!r} has an offset or length that is no number") from error
    if offset < 0 or length < size:
        raise Unreadable(f"tensor {name!r} needs {size} bytes and declares {length} from {offset}")
    return ExternalTensor(name, entries.get("location", ""), offset, max(size, length))
