"""Puts a choice of positions before a language model's head: logits only where they are wanted.

A graph gives logits for every token that goes in; of a prompt only the last are of use, and a vocabulary is large: all
logits of 512 tokens are 311 MB for 152 thousand words. So the graph is given one more input, the positions that are
wanted, and a `Gather` before the product with the head's weights. The bits of what is left are the same.

The graph is rewritten in its wire format (numbers from onnx.proto3), where whatever is not ours is copied as it is. The
file on disk stays. A graph whose head is not found as expected is used as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from turnwise.inference.onnx.protobuf import Unreadable, decoded, fields, message, number_field, text_field

POSITIONS_INPUT: Final = "turnwise_positions"
"""int64 [wanted]: places among the new tokens."""

GRAPH_BYTES_MAX: Final = 512 * 1024 * 1024
STEPS_MAX: Final = 16

_GATHERED: Final = "turnwise_wanted"
_INT64: Final = 7
_HEADS: Final = frozenset({"MatMul", "MatMulNBits", "FusedMatMul", "MatMulInteger"})
_PASSED: Final = frozenset({"Cast", "Mul", "Div", "Add", "Sub", "Tanh", "Identity"})
"""Operators between the head and the logits that treat each number by itself."""


@dataclass(frozen=True, slots=True)
class _Node:
    start: int
    """Where the field begins in the graph, tag included."""

    body: bytes
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def with_positions(model: bytes, logits: str) -> bytes | None:
    """The model with the input `turnwise_positions`; None if its head is not where we look for it.

    `logits` [batch, new, vocabulary] then has as many places as positions are given: [batch, wanted, vocabulary].
    """
    try:
        return _rewrite(model, logits)
    except Unreadable:
        return None


def _rewrite(model: bytes, logits: str) -> bytes | None:
    if len(model) > GRAPH_BYTES_MAX:
        return None
    parts = [(number, start, low, high) for number, start, low, high in fields(model, 0, len(model))]
    graphs = [(start, low, high) for number, start, low, high in parts if number == 7]
    if len(graphs) != 1:
        return None
    start, low, high = graphs[0]
    graph = _graph(model[low:high], logits)
    return None if graph is None else model[:start] + message(7, graph) + model[high:]


def _graph(graph: bytes, logits: str) -> bytes | None:
    """GraphProto: node = 1, initializer = 5, input = 11, output = 12, value_info = 13."""
    nodes: list[_Node] = []
    constants: set[str] = set()
    outputs: set[str] = set()
    for number, start, low, high in fields(graph, 0, len(graph)):
        if number == 1:
            nodes.append(_node(graph, start, low, high))
        elif number == 5:
            constants.add(_name(graph, low, high, 8))
        elif number == 12:
            outputs.add(_name(graph, low, high, 1))
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
    for number, start, low, high in fields(graph, 0, len(graph)):
        new: bytes | None = None
        if number == 1 and start == head.start:
            gather = [text_field(1, head.inputs[0]), text_field(1, POSITIONS_INPUT), text_field(2, _GATHERED)]
            gather.append(text_field(4, "Gather"))
            gather.append(message(5, text_field(1, "axis") + number_field(3, 1) + number_field(20, 2)))
            new = message(1, b"".join(gather)) + message(1, _with_first_input(head.body, _GATHERED))
        elif number == 13 and _name(graph, low, high, 1) in between:
            new = b""
        elif number == 12 and _name(graph, low, high, 1) == logits:
            new = message(12, _with_second_dim(graph[low:high]))
        if new is not None:
            out += graph[done:start] + new
            done = high
    shape = message(2, message(1, text_field(2, POSITIONS_INPUT)))
    kind = message(2, message(1, number_field(1, _INT64) + shape))
    return bytes(out + graph[done:] + message(11, text_field(1, POSITIONS_INPUT) + kind))


def _head(
    nodes: Sequence[_Node], constants: set[str], outputs: set[str], logits: str
) -> tuple[_Node, frozenset[str]] | None:
    """The product that gives the logits, and the names between it and them; nobody else may read those."""
    made: Mapping[str, _Node] = {name: node for node in nodes for name in node.outputs}
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


def _node(graph: bytes, start: int, low: int, high: int) -> _Node:
    """NodeProto: input = 1, output = 2, op_type = 4."""
    inputs, outputs, kind = [], [], ""
    for number, _, first, last in fields(graph, low, high):
        if number == 1:
            inputs.append(decoded(graph, first, last))
        elif number == 2:
            outputs.append(decoded(graph, first, last))
        elif number == 4:
            kind = decoded(graph, first, last)
    return _Node(start, graph[low:high], kind, tuple(inputs), tuple(outputs))


def _with_first_input(body: bytes, name: str) -> bytes:
    for number, start, _, high in fields(body, 0, len(body)):
        if number == 1:
            return body[:start] + text_field(1, name) + body[high:]
    raise Unreadable("a node without inputs")


def _with_second_dim(value: bytes) -> bytes:
    """The ValueInfoProto whose second dimension is called as the positions are, at the end of the path to it.

    ValueInfoProto: type = 2; TypeProto: tensor_type = 1; Tensor: shape = 2; TensorShapeProto: dim = 1.
    """

    def rewritten(body: bytes, path: tuple[tuple[int, int], ...]) -> bytes:
        (wanted, place), rest = path[0], path[1:]
        for number, start, low, high in fields(body, 0, len(body)):
            if number == wanted:
                if place == 0:
                    inner = rewritten(body[low:high], rest) if rest else text_field(2, POSITIONS_INPUT)
                    return body[:start] + message(wanted, inner) + body[high:]
                place -= 1
        raise Unreadable("logits without three dimensions")

    return rewritten(value, ((2, 0), (1, 0), (2, 0), (1, 1)))


def _name(data: bytes, low: int, high: int, field: int) -> str:
    for number, _, first, last in fields(data, low, high):
        if number == field:
            return decoded(data, first, last)
    return ""
