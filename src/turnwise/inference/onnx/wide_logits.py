"""Gives a language model's logits in fp32 where its graph gives them in fp16, by a `Cast` behind them.

On a device the numbers stay the same, and widening costs nothing; a host that widens them, or looks for the largest of
them in fp16, takes longer for 16 rows than the device for the whole step. The graph is rewritten when it is loaded. For
the CPU it is not: there the rounding to fp16 would be taken out of the graph together with the widening.
"""

from __future__ import annotations

from typing import Final

from turnwise.inference.onnx.protobuf import Unreadable, decoded, fields, message, number_field, text_field

WIDE_LOGITS: Final = "turnwise_logits"

_FLOAT: Final = 1
_HALF: Final = 10
_INT: Final = 2


def with_wide_logits(model: bytes, logits: str) -> bytes | None:
    """The model with the output `turnwise_logits` in place of `logits`; None if those are not in fp16."""
    try:
        return _model(model, logits)
    except Unreadable:
        return None


def _model(model: bytes, logits: str) -> bytes | None:
    """ModelProto: graph = 7."""
    for number, start, low, high in fields(model, 0, len(model)):
        if number == 7:
            graph = _graph(model[low:high], logits)
            return None if graph is None else model[:start] + message(7, graph) + model[high:]
    return None


def _graph(graph: bytes, logits: str) -> bytes | None:
    """GraphProto: node = 1, output = 12; NodeProto: input = 1, output = 2, op_type = 4, attribute = 5."""
    for number, start, low, high in fields(graph, 0, len(graph)):
        if number == 12 and (wide := _output(graph[low:high], logits)) is not None:
            to = text_field(1, "to") + number_field(3, _FLOAT) + number_field(20, _INT)
            cast = text_field(1, logits) + text_field(2, WIDE_LOGITS) + text_field(4, "Cast") + message(5, to)
            return graph[:start] + message(12, wide) + graph[high:] + message(1, cast)
    return None


def _output(value: bytes, logits: str) -> bytes | None:
    """ValueInfoProto: name = 1, type = 2; TypeProto: tensor_type = 1; Tensor: elem_type = 1, shape = 2."""
    name, shape, kind = "", b"", 0
    for number, _, low, high in fields(value, 0, len(value)):
        if number == 1:
            name = decoded(value, low, high)
        elif number == 2:
            for inner, _, first, last in fields(value, low, high):
                if inner == 1:
                    tensor = value[first:last]
                    for part, _, a, b in fields(tensor, 0, len(tensor)):
                        if part == 1:
                            kind = tensor[a]  # types are below 128, so in one byte
                        elif part == 2:
                            shape = message(2, tensor[a:b])
    if name != logits or kind != _HALF:
        return None
    return text_field(1, WIDE_LOGITS) + message(2, message(1, number_field(1, _FLOAT) + shape))
