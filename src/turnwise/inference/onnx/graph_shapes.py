"""Shapes of all values of a graph for inputs of given shapes, as ONNX Runtime infers them: nothing is computed.

The graph is opened once more with every value as an output, its inputs of exactly these shapes, and its weights as
inputs, so that none is read. ONNX Runtime then says the shape of each, also where it follows from sizes that the graph
computes itself, since it folds what follows from the shapes into constants: of at most `FOLDED_BYTES_MAX`, whatever a
request asks for. Where a shape follows from data, nobody knows it before.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

from turnwise.inference.onnx import schema
from turnwise.inference.onnx.counted_memory import BYTES_MAX
from turnwise.inference.onnx.graph_facts import NESTING_MAX, Shape
from turnwise.inference.onnx.protobuf import Field, Unreadable, fields, message, number_field, text, text_field, varint
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, ort

FOLDED_BYTES_MAX: Final = 65_536
"""Bytes of the largest constant that is computed to learn a shape."""
KEPT_ELEMENTS_MAX: Final = 1_024
"""Elements of the largest constant of the graph that is looked into; of larger ones only the shape counts."""

_ELEMENT_BYTES: Final = {
    "tensor(float)": 4, "tensor(double)": 8, "tensor(float16)": 2, "tensor(bfloat16)": 2, "tensor(int64)": 8,
    "tensor(uint64)": 8, "tensor(int32)": 4, "tensor(uint32)": 4, "tensor(int16)": 2, "tensor(uint16)": 2,
}  # fmt: skip
"""Bytes of an element; all others count as one byte."""


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor as far as it is known: its dimensions, None where not even their number is told."""

    dims: Shape | None
    element_bytes: int = 1

    @property
    def elements(self) -> int:
        """Number of elements; the most that memory allows where a dimension is not known."""
        if self.dims is None or None in self.dims:
            return BYTES_MAX // self.element_bytes
        return prod(dim or 0 for dim in self.dims)

    @property
    def known(self) -> tuple[int, ...] | None:
        """The dimensions, if all are known."""
        if self.dims is None:
            return None
        found = tuple([dim for dim in self.dims if dim is not None])
        return found if len(found) == len(self.dims) else None


UNKNOWN: Final = Value(None)


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its operator without domain, the names of its values, two attributes, and the graphs in it."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kernel: tuple[int, ...]
    """The attribute `kernel_shape`."""
    equation: str
    """The attribute `equation`."""
    bodies: tuple[Body, ...]
    """Graphs that the node runs."""


@dataclass(frozen=True, slots=True)
class Body:
    """A graph in a node, or a function of the model. `own` are its names: only of constants the shape is known."""

    nodes: tuple[Node, ...]
    own: Mapping[str, Value]


class GraphShapes:
    """A graph without its weights.

    - `nodes`: its own, in order
    - `functions`: those of the model, by name
    """

    def __init__(self, path: Path) -> None:
        """Read a graph that `read_graph` has read before. Raises Unreadable."""
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            self._read(view)

    def _read(self, view: memoryview) -> None:
        of = schema.ModelProto
        self._head: list[bytes] = []
        self._parts: list[bytes] = []
        self._kinds: dict[str, int] = {}
        self._constants: dict[str, Value] = {}
        self.functions: dict[str, Body] = {}
        nodes: list[Node] = []
        reader = _NodeReader(view)
        for part in fields(view, 0, len(view)):
            if part.number == of.GRAPH:  # several are read as one
                nodes += self._graph(reader, part)
                continue
            self._head.append(bytes(view[part.start : part.high]))
            if part.number == of.FUNCTIONS:
                name, body = reader.function(part)
                self.functions[name] = body
        self._kinds = {name: kind for name, kind in self._kinds.items() if name not in self._constants}
        self.nodes = tuple(nodes)
        self._outputs = [name for node in nodes for name in node.outputs]

    def _graph(self, reader: _NodeReader, graph: Field) -> list[Node]:
        of = schema.GraphProto
        view = reader.view
        nodes: list[Node] = []
        for part in reader.parts(graph):
            if part.number == of.NODE:
                nodes.append(reader.node(part, 0))
                self._parts.append(bytes(view[part.start : part.high]))
            elif part.number == of.INITIALIZER:
                name, kind, dims, outside = reader.tensor(part)
                self._constants[name] = Value(dims)
                if outside or prod(dims) > KEPT_ELEMENTS_MAX:
                    self._parts.append(message(of.INPUT, _value(name, kind, dims)))
                else:
                    self._parts.append(bytes(view[part.start : part.high]))
            elif part.number == of.INPUT:
                name, kind = reader.input(part)
                self._kinds[name] = kind
            elif part.number not in (of.OUTPUT, of.VALUE_INFO):  # what a graph claims of its values is not believed
                self._parts.append(bytes(view[part.start : part.high]))
        return nodes

    def values(self, inputs: Mapping[str, tuple[int, ...]]) -> dict[str, Value]:
        """Return what is known of the values for inputs of these shapes; of those left out it is nothing."""
        of = schema.GraphProto
        parts = [*self._parts]
        parts += [message(of.INPUT, _value(name, kind, inputs[name])) for name, kind in self._kinds.items()]
        parts += [message(of.OUTPUT, text_field(schema.ValueInfoProto.NAME, name)) for name in self._outputs if name]
        settings = ort.SessionOptions()
        settings.log_severity_level = 4
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        settings.add_session_config_entry(
            "optimization.constant_folding_max_output_size_in_bytes", str(FOLDED_BYTES_MAX)
        )
        settings.add_session_config_entry("session.disable_prepacking", "1")
        model = b"".join([*self._head, message(schema.ModelProto.GRAPH, b"".join(parts))])
        found = {name: Value(shape) for name, shape in inputs.items()} | self._constants
        try:
            session = ort.InferenceSession(model, sess_options=settings, providers=["CPUExecutionProvider"])
        except RUNTIME_ERRORS:
            return found  # an operator wants constants, say, or does not take these shapes
        for output in session.get_outputs():
            if output.type.startswith("tensor("):
                dims = tuple([dim if isinstance(dim, int) and dim >= 0 else None for dim in output.shape])
                found[output.name] = Value(dims, _ELEMENT_BYTES.get(output.type, 1))
        return found


class _NodeReader:
    """Reads nodes of a model's messages."""

    def __init__(self, view: memoryview) -> None:
        self.view = view

    def parts(self, part: Field) -> Iterator[Field]:
        if part.value is not None:
            raise Unreadable("a number where a message should be")
        return fields(self.view, part.low, part.high)

    def node(self, node: Field, depth: int) -> Node:
        of = schema.NodeProto
        kind = ""
        names: dict[int, list[str]] = {of.INPUT: [], of.OUTPUT: []}
        kernel: tuple[int, ...] = ()
        equation = ""
        bodies: list[Body] = []
        for part in self.parts(node):
            if part.number in names:
                names[part.number].append(text(self.view, part))
            elif part.number == of.OP_TYPE:
                kind = text(self.view, part)
            elif part.number == of.ATTRIBUTE:
                name, integers, said, graphs = self._attribute(part, depth)
                kernel = tuple(integers) if name == "kernel_shape" else kernel
                equation = said if name == "equation" else equation
                bodies += graphs
        return Node(kind, tuple(names[of.INPUT]), tuple(names[of.OUTPUT]), kernel, equation, tuple(bodies))

    def _attribute(self, attribute: Field, depth: int) -> tuple[str, list[int], str, list[Body]]:
        if depth >= NESTING_MAX:
            raise Unreadable(f"graphs are nested more than {NESTING_MAX} deep")
        of = schema.AttributeProto
        name = said = ""
        integers: list[int] = []
        bodies: list[Body] = []
        for part in self.parts(attribute):
            if part.number == of.NAME:
                name = text(self.view, part)
            elif part.number == of.INTS:
                integers += self._integers(part)
            elif part.number == of.S and name == "equation":
                said = text(self.view, part)
            elif part.number in (of.G, of.GRAPHS):
                bodies.append(self._body(part, depth + 1))
        return name, integers, said, bodies

    def _body(self, graph: Field, depth: int) -> Body:
        of = schema.GraphProto
        nodes: list[Node] = []
        own: dict[str, Value] = {}
        for part in self.parts(graph):
            if part.number == of.NODE:
                nodes.append(self.node(part, depth))
            elif part.number == of.INPUT:
                own[self.input(part)[0]] = UNKNOWN
            elif part.number == of.INITIALIZER:
                name, _, dims, _ = self.tensor(part)
                own[name] = Value(dims)
        return Body(tuple(nodes), {name: UNKNOWN for node in nodes for name in node.outputs} | own)

    def function(self, function: Field) -> tuple[str, Body]:
        """A function of the model, of whose values nothing is known; and its name."""
        of = schema.FunctionProto
        name = ""
        nodes: list[Node] = []
        for part in self.parts(function):
            if part.number == of.NAME:
                name = text(self.view, part)
            elif part.number == of.NODE:
                nodes.append(self.node(part, 0))
        return name, Body(tuple(nodes), {name: UNKNOWN for node in nodes for name in (*node.inputs, *node.outputs)})

    def input(self, value: Field) -> tuple[str, int]:
        """Name and element type of an input."""
        of = schema.ValueInfoProto
        name, kind = "", 0
        for part in self.parts(value):
            if part.number == of.NAME:
                name = text(self.view, part)
            elif part.number == of.TYPE:
                for tensor in self.parts(part):
                    if tensor.number == of.TENSOR:
                        kinds = [fact.value for fact in self.parts(tensor) if fact.number == of.ELEMENT_TYPE]
                        kind = next((found for found in kinds if found is not None), 0)
        return name, kind

    def tensor(self, tensor: Field) -> tuple[str, int, tuple[int, ...], bool]:
        """Name, element type and dimensions of a constant, and whether it lies in another file."""
        of = schema.TensorProto
        name, kind, outside = "", 0, False
        dims: list[int] = []
        for part in self.parts(tensor):
            if part.number == of.DIMS:
                dims += self._integers(part)
            elif part.number == of.DATA_TYPE:
                kind = part.value or 0
            elif part.number == of.NAME:
                name = text(self.view, part)
            outside = outside or part.number in (of.EXTERNAL_DATA, of.DATA_LOCATION)
        return name, kind, tuple(dims), outside

    def _integers(self, part: Field) -> list[int]:
        if part.value is not None:
            return [part.value]
        found: list[int] = []
        start = part.low
        while start < part.high:
            value, start = varint(self.view, start, part.high)
            found.append(value)
        return found


def _value(name: str, kind: int, dims: tuple[int, ...]) -> bytes:
    of = schema.ValueInfoProto
    shape = b"".join([message(of.DIM, number_field(of.DIM_VALUE, dim)) for dim in dims])
    tensor = number_field(of.ELEMENT_TYPE, kind) + message(of.SHAPE, shape)
    return text_field(of.NAME, name) + message(of.TYPE, message(of.TENSOR, tensor))
