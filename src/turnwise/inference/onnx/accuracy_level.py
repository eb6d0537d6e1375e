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
from turnwise.inference.onnx import schema
from turnwise.inference.onnx.graph_facts import MATMUL_N_BITS, Graph
from turnwise.inference.onnx.protobuf import (
    REWRITTEN_BYTES_MAX,
    Unreadable,
    fields,
    message,
    number_field,
    text,
    text_field,
)

ACCURACY_LEVELS: Final = (4,)
"""Accuracy levels to which a graph can be rewritten."""

NESTING_MAX: Final = 32
_ATTRIBUTE: Final = "accuracy_level"
_DOMAIN, _, _KIND = MATMUL_N_BITS.partition(":")


def with_accuracy(model: bytes, level: int) -> bytes:
    """Return the model with every MatMulNBits at this level, those in subgraphs and functions included.

    Raises ValueError for bytes that are no model. A node that has the level already stays as it is.
    """
    of = schema.AttributeProto
    attribute = text_field(of.NAME, _ATTRIBUTE) + number_field(of.I, level) + number_field(of.TYPE, of.INT)
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
    if (size := where.stat().st_size) > REWRITTEN_BYTES_MAX:
        raise ModelError(
            f"has {size} bytes, too many to rewrite it when it is loaded",
            where=str(where),
            expected=REWRITTEN_BYTES_MAX,
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
        of = schema.ModelProto
        return _changed(body, {of.GRAPH: lambda graph: self._graph(graph, 0), of.FUNCTIONS: self._function})

    def _function(self, body: bytes) -> bytes:
        return _changed(body, {schema.FunctionProto.NODE: lambda node: self._node(node, 0)})

    def _graph(self, body: bytes, depth: int) -> bytes:
        if depth > NESTING_MAX:
            raise Unreadable(f"graphs are nested more than {NESTING_MAX} deep")
        return _changed(body, {schema.GraphProto.NODE: lambda node: self._node(node, depth)})

    def _node(self, body: bytes, depth: int) -> bytes:
        of = schema.NodeProto
        kind = (of.DOMAIN, of.OP_TYPE)
        names = {part.number: text(body, part) for part in fields(body, 0, len(body)) if part.number in kind}
        if (names.get(of.DOMAIN), names.get(of.OP_TYPE)) != (_DOMAIN, _KIND):
            graphs = (schema.AttributeProto.G, schema.AttributeProto.GRAPHS)
            inner = {number: lambda graph: self._graph(graph, depth + 1) for number in graphs}
            return _changed(body, {of.ATTRIBUTE: lambda attribute: _changed(attribute, inner)})
        levels = {of.ATTRIBUTE: lambda attribute: self._attribute if _is_level(attribute) else attribute}
        found = _changed(body, levels)
        attributes = (part for part in fields(found, 0, len(found)) if part.number == of.ATTRIBUTE)
        has = any(_is_level(found[part.low : part.high]) for part in attributes)
        return found if has else found + message(of.ATTRIBUTE, self._attribute)


def _changed(body: bytes, changes: Mapping[int, Callable[[bytes], bytes]]) -> bytes:
    """Return the message with some of its fields, by number, replaced by what is made of them."""
    out = bytearray()
    done = 0
    for part in fields(body, 0, len(body)):
        if part.number in changes:
            old = body[part.low : part.high]
            new = changes[part.number](old)
            if new != old:
                out += body[done : part.start] + message(part.number, new)
                done = part.high
    return bytes(out + body[done:]) if done else body


def _is_level(attribute: bytes) -> bool:
    names = (part for part in fields(attribute, 0, len(attribute)) if part.number == schema.AttributeProto.NAME)
    return any(text(attribute, name) == _ATTRIBUTE for name in names)
