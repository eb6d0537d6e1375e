"""Gives a language model's logits in fp32 where its graph gives them in fp16, by a `Cast` behind them.

On a device the numbers stay the same, and widening costs nothing; a host that widens them, or looks for the largest of
them in fp16, takes longer for 16 rows than the device for the whole step. The graph is rewritten when it is loaded. For
the CPU it is not: there the rounding to fp16 would be taken out of the graph together with the widening.
"""

from __future__ import annotations

from typing import Final

from turnwise.inference.onnx import schema
from turnwise.inference.onnx.protobuf import Unreadable, fields, message, number_field, text, text_field

WIDE_LOGITS: Final = "turnwise_logits"


def with_wide_logits(model: bytes, logits: str) -> bytes | None:
    """Return the model with the output `turnwise_logits` in place of `logits`; None if those are not in fp16."""
    try:
        return _model(model, logits)
    except Unreadable:
        return None


def _model(model: bytes, logits: str) -> bytes | None:
    for part in fields(model, 0, len(model)):
        if part.number == schema.ModelProto.GRAPH:
            graph = _graph(model[part.low : part.high], logits)
            return None if graph is None else model[: part.start] + message(part.number, graph) + model[part.high :]
    return None


def _graph(graph: bytes, logits: str) -> bytes | None:
    of = schema.GraphProto
    for part in fields(graph, 0, len(graph)):
        if part.number == of.OUTPUT and (wide := _output(graph[part.low : part.high], logits)) is not None:
            return graph[: part.start] + message(of.OUTPUT, wide) + graph[part.high :] + message(of.NODE, _cast(logits))
    return None


def _cast(logits: str) -> bytes:
    node, attribute = schema.NodeProto, schema.AttributeProto
    to = text_field(attribute.NAME, "to") + number_field(attribute.I, schema.DataType.FLOAT)
    to += number_field(attribute.TYPE, attribute.INT)
    names = text_field(node.INPUT, logits) + text_field(node.OUTPUT, WIDE_LOGITS)
    return names + text_field(node.OP_TYPE, "Cast") + message(node.ATTRIBUTE, to)


def _output(value: bytes, logits: str) -> bytes | None:
    """Return the new output, of the shape of the old one; None if that is another or not in fp16."""
    of = schema.ValueInfoProto
    parts = list(fields(value, 0, len(value)))
    if [text(value, part) for part in parts if part.number == of.NAME] != [logits]:
        return None
    kinds = [part for part in parts if part.number == of.TYPE]
    tensors = [inner for kind in kinds for inner in fields(value, kind.low, kind.high) if inner.number == of.TENSOR]
    facts = [fact for tensor in tensors for fact in fields(value, tensor.low, tensor.high)]
    if [fact.value for fact in facts if fact.number == of.ELEMENT_TYPE] != [schema.DataType.HALF]:
        return None
    shape = b"".join(message(of.SHAPE, value[fact.low : fact.high]) for fact in facts if fact.number == of.SHAPE)
    tensor = number_field(of.ELEMENT_TYPE, schema.DataType.FLOAT) + shape
    return text_field(of.NAME, WIDE_LOGITS) + message(of.TYPE, message(of.TENSOR, tensor))
