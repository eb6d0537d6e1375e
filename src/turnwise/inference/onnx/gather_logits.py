"""Puts a choice of positions before a language model's head: logits only where they are wanted.

A graph gives logits for every token that goes in; of a prompt only the last are of use, and a vocabulary is large: all
logits of 512 tokens are 311 MB for 152 thousand words. So the graph is given one more input, the positions that are
wanted, and a `Gather` before the product with the head's weights. The bits of what is left are the same.

The graph is rewritten in its wire format, where whatever is not ours is copied as it is. The file on disk stays. A
graph whose head is not found as expected is used as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from turnwise.inference.onnx import schema
from turnwise.inference.onnx.protobuf import (
    REWRITTEN_BYTES_MAX,
    Field,
    Unreadable,
    fields,
    message,
    number_field,
    text,
    text_field,
)

POSITIONS_INPUT: Final = "turnwise_positions"
"""int64 [wanted]: places among the new tokens."""

STEPS_MAX: Final = 16

_GATHERED: Final = "turnwise_wanted"
_HEADS: Final = frozenset({"MatMul", "MatMulNBits", "FusedMatMul", "MatMulInteger"})
_PASSED: Final = frozenset({"Cast", "Mul", "Div", "Add", "Sub", "Tanh", "Identity"})
"""Operators between the head and the logits that treat each number by itself."""


@dataclass(frozen=True, slots=True)
class _GraphNode:
    start: int
    """Offset at which the field begins in the graph, tag included."""

    body: bytes
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def with_positions(model: bytes, logits: str) -> bytes | None:
    """Return the model with the input `turnwise_positions`; None if its head is not where we look for it.

    `logits` [batch, new, vocabulary] then has as many places as positions are given: [batch, wanted, vocabulary].
    """
    try:
        return _rewrite(model, logits)
    except Unreadable:
        return None


def _rewrite(model: bytes, logits: str) -> bytes | None:
    if len(model) > REWRITTEN_BYTES_MAX:
        return None
    graphs = [part for part in fields(model, 0, len(model)) if part.number == schema.ModelProto.GRAPH]
    if len(graphs) != 1:
        return None
    part = graphs[0]
    graph = _graph(model[part.low : part.high], logits)
    return None if graph is None else model[: part.start] + message(part.number, graph) + model[part.high :]


def _graph(graph: bytes, logits: str) -> bytes | None:
    of = schema.GraphProto
    nodes: list[_GraphNode] = []
    constants: set[str] = set()
    outputs: set[str] = set()
    for part in fields(graph, 0, len(graph)):
        if part.number == of.NODE:
            nodes.append(_node(graph, part))
        elif part.number == of.INITIALIZER:
            constants.add(_name(graph, part, schema.TensorProto.NAME))
        elif part.number == of.OUTPUT:
            outputs.add(_name(graph, part, schema.ValueInfoProto.NAME))
    if logits not in outputs:
        return None
    for node in nodes:
        if node.kind == "Constant":
            constants.update(node.outputs)
    found = _head(nodes, constants, outputs, logits)
    if found is None:
        return None
    head, between = found
    out = bytearray()
    done = 0
    for part in fields(graph, 0, len(graph)):
        new: bytes | None = None
        if part.number == of.NODE and part.start == head.start:
            new = message(of.NODE, _gather(head.inputs[0]))
            new += message(of.NODE, _with_first_input(head.body, _GATHERED))
        elif part.number == of.VALUE_INFO and _name(graph, part, schema.ValueInfoProto.NAME) in between:
            new = b""
        elif part.number == of.OUTPUT and _name(graph, part, schema.ValueInfoProto.NAME) == logits:
            new = message(of.OUTPUT, _with_second_dim(graph[part.low : part.high]))
        if new is not None:
            out += graph[done : part.start] + new
            done = part.high
    return bytes(out + graph[done:] + message(of.INPUT, _positions()))


def _gather(data: str) -> bytes:
    """Return the node that takes the wanted positions, from the second dimension on, of `data`."""
    node, attribute = schema.NodeProto, schema.AttributeProto
    axis = text_field(attribute.NAME, "axis") + number_field(attribute.I, 1)
    axis += number_field(attribute.TYPE, attribute.INT)
    names = text_field(node.INPUT, data) + text_field(node.INPUT, POSITIONS_INPUT) + text_field(node.OUTPUT, _GATHERED)
    return names + text_field(node.OP_TYPE, "Gather") + message(node.ATTRIBUTE, axis)


def _positions() -> bytes:
    """Return the new input: int64, with a dimension of its own name."""
    value = schema.ValueInfoProto
    shape = message(value.SHAPE, message(value.DIM, text_field(value.DIM_NAME, POSITIONS_INPUT)))
    tensor = number_field(value.ELEMENT_TYPE, schema.DataType.INT64) + shape
    return text_field(value.NAME, POSITIONS_INPUT) + message(value.TYPE, message(value.TENSOR, tensor))


def _head(
    nodes: Sequence[_GraphNode], constants: set[str], outputs: set[str], logits: str
) -> tuple[_GraphNode, frozenset[str]] | None:
    """Return the product that gives the logits, and the names between it and them; nobody else may read those."""
    made: Mapping[str, _GraphNode] = {name: node for node in nodes for name in node.outputs}
    readers: dict[str, int] = {}
    for node in nodes:
        for name in node.inputs:
            readers[name] = readers.get(name, 0) + 1
    between: set[str] = set()
    name = logits
    for _ in range(STEPS_MAX):
        maker = made.get(name)
        if maker is None or len(maker.outputs) != 1 or not maker.inputs:
            return None
        if name != logits and (readers.get(name, 0) != 1 or name in outputs):
            return None
        between.add(name)
        if maker.kind in _HEADS:
            return (maker, frozenset(between)) if maker.inputs[0] not in constants else None
        open_inputs = [value for value in maker.inputs if value and value not in constants]
        if maker.kind not in _PASSED or len(open_inputs) != 1 or readers.get(logits, 0):
            return None
        name = open_inputs[0]
    return None


def _node(graph: bytes, node: Field) -> _GraphNode:
    inputs, outputs, kind = [], [], ""
    for part in fields(graph, node.low, node.high):
        if part.number == schema.NodeProto.INPUT:
            inputs.append(text(graph, part))
        elif part.number == schema.NodeProto.OUTPUT:
            outputs.append(text(graph, part))
        elif part.number == schema.NodeProto.OP_TYPE:
            kind = text(graph, part)
    return _GraphNode(node.start, graph[node.low : node.high], kind, tuple(inputs), tuple(outputs))


def _with_first_input(body: bytes, name: str) -> bytes:
    for part in fields(body, 0, len(body)):
        if part.number == schema.NodeProto.INPUT:
            return body[: part.start] + text_field(part.number, name) + body[part.high :]
    raise Unreadable("a node without inputs")


def _with_second_dim(value: bytes) -> bytes:
    """Return the logits' description with its second dimension called as the positions are."""
    of = schema.ValueInfoProto

    def rewritten(body: bytes, path: tuple[tuple[int, int], ...]) -> bytes:
        """Follow a path of (field, which of several)."""
        (wanted, place), rest = path[0], path[1:]
        for part in fields(body, 0, len(body)):
            if part.number == wanted:
                if place == 0:
                    inside = body[part.low : part.high]
                    inner = rewritten(inside, rest) if rest else text_field(of.DIM_NAME, POSITIONS_INPUT)
                    return body[: part.start] + message(wanted, inner) + body[part.high :]
                place -= 1
        raise Unreadable("logits without three dimensions")

    return rewritten(value, ((of.TYPE, 0), (of.TENSOR, 0), (of.SHAPE, 0), (of.DIM, 1)))


def _name(data: bytes, message: Field, number: int) -> str:
    """Return the first text field of that number in a message."""
    for part in fields(data, message.low, message.high):
        if part.number == number:
            return text(data, part)
    return ""
