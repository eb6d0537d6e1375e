"""Gives the 4-bit products of a graph another accuracy level, when it is loaded; the file stays.

Exporters choose the level (`accuracy_level` of MatMulNBits; unset in many graphs of the hub): at 4, activations are
rounded to 8 bits and products are summed in integers, which is faster, and gives other logits. So a model with a
rewritten graph is another model, with another hash, and it is only rewritten where the world says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from turnwise.errors import ModelError
from turnwise.inference.onnx.gather_logits import GRAPH_BYTES_MAX
from turnwise.inference.onnx.graph_facts import MATMUL_N_BITS, Graph
from turnwise.inference.onnx.protobuf import Unreadable, decoded, fields, message, number_field, text_field

ACCURACY_LEVELS: Final = (4,)
"""What a graph can be rewritten to."""

NESTING_MAX: Final = 32
_ATTRIBUTE: Final = "accuracy_level"
_INT: Final = 2
_DOMAIN, _, _KIND = MATMUL_N_BITS.partition(":")


def with_accuracy(model: bytes, level: int) -> bytes:
    """The model with every MatMulNBits at this level, those in subgraphs and functions included.

    Raises ValueError for bytes that are no model. A node that has the level already stays as it is.
    """
    attribute = text_field(1, _ATTRIBUTE) + number_field(3, level) + number_field(20, _INT)
    return _Rewriter(attribute).model(model)


def rewritten_graph(graph: Graph, level: int, where: Path) -> Graph:
    """Facts of the graph after it is rewritten. Raises ModelError if there is nothing to rewrite."""
    if not graph.quantised:
        raise ModelError(
            f"has no 4-bit products that could be rewritten to accuracy level {level}",
            where=str(where),
            expected=MATMUL_N_BITS,
            actual=sorted(graph.operators),
            hint="Leave accuracy_level out, or take the model's variant q4.",
        )
    if (size := where.stat().st_size) > GRAPH_BYTES_MAX:
        raise ModelError(
            f"has {size} bytes, too many to rewrite it when it is loaded",
            where=str(where),
            expected=GRAPH_BYTES_MAX,
            actual=size,
            hint="Store its weights in a file of their own (external data), or build it at that accuracy level.",
        )
    found = replace(graph, quantised={})
    for kind, count in graph.quantised.items():
        new = replace(kind, accuracy=level)
        found.quantised[new] = found.quantised.get(new, 0) + count
    return found


class _Rewriter:
    """Rewrites messages; what is given back is the same object where nothing is changed."""

    def __init__(self, attribute: bytes) -> None:
        self._attribute = attribute

    def model(self, body: bytes) -> bytes:
        """ModelProto: graph = 7, functions = 25."""
        return _changed(body, {7: lambda graph: self._graph(graph, 0), 25: self._function})

    def _function(self, body: bytes) -> bytes:
        """FunctionProto: node = 7."""
        return _changed(body, {7: lambda node: self._node(node, 0)})

    def _graph(self, body: bytes, depth: int) -> bytes:
        """GraphProto: node = 1."""
        if depth > NESTING_MAX:
            raise Unreadable(f"graphs are nested more than {NESTING_MAX} deep")
        return _changed(body, {1: lambda node: self._node(node, depth)})

    def _node(self, body: bytes, depth: int) -> bytes:
        """NodeProto: op_type = 4, attribute = 5, domain = 7; AttributeProto: name = 1, g = 6, graphs = 11."""
        names = {
            number: decoded(body, low, high) for number, _, low, high in fields(body, 0, len(body)) if number in (4, 7)
        }
        if (names.get(7), names.get(4)) != (_DOMAIN, _KIND):
            inner = {number: lambda graph: self._graph(graph, depth + 1) for number in (6, 11)}
            return _changed(body, {5: lambda attribute: _changed(attribute, inner)})
        found = _changed(body, {5: lambda attribute: self._attribute if _is_level(attribute) else attribute})
        has = any(number == 5 and _is_level(found[low:high]) for number, _, low, high in fields(found, 0, len(found)))
        return found if has else found + message(5, self._attribute)


def _changed(body: bytes, parts: Mapping[int, Callable[[bytes], bytes]]) -> bytes:
    """The message with some of its fields, by number, replaced by what is made of them."""
    out = bytearray()
    done = 0
    for number, start, low, high in fields(body, 0, len(body)):
        if number in parts:
            old = body[low:high]
            new = parts[number](old)
            if new != old:
                out += body[done:start] + message(number, new)
                done = high
    return bytes(out + body[done:]) if done else body


def _is_level(attribute: bytes) -> bool:
    names = (
        decoded(attribute, low, high) for number, _, low, high in fields(attribute, 0, len(attribute)) if number == 1
    )
    return _ATTRIBUTE in names
