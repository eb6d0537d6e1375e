"""A small graph that copies rows of tensors on a device, from one set of tensors into another or the same.

Tensors are [rows, heads, positions, head_size]. Of each source the rows `from`, between the positions `first` and
`last`, are taken, and put over the rows `to` of its target from position 0 on. On the way they may be cut into shorter
rows, or joined: what was taken is given the shape `between`, its first two dimensions change places, and what then is
there is given the shape `put`.

The target goes in and comes out: bound to one tensor, only what is put is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from turnwise.inference.onnx import schema
from turnwise.inference.onnx.protobuf import message, number_field, text_field

FROM: Final = "from"
"""int32 [k]"""
TO: Final = "to"
"""int32 [m, 1, 1, 1]"""
FIRST: Final = "first"
LAST: Final = "last"
"""int64 [1] each"""
BETWEEN: Final = "between"
PUT: Final = "put"
"""int64 [4] each; the first dimension of `put` is m."""

OPSET: Final = 17


def source(tensor: int) -> str:
    """Name of an input: what is copied."""
    return f"source.{tensor}"


def target(tensor: int) -> str:
    """Name of an input: what is written over."""
    return f"target.{tensor}"


def result(tensor: int) -> str:
    """Name of an output: the target after it was written over."""
    return f"result.{tensor}"


def copy_rows_graph(tensors: int, data_type: int) -> bytes:
    """Return the model, for so many pairs of tensors of this type (`schema.DataType`)."""
    graph, kinds = schema.GraphProto, schema.DataType
    inputs = [_value(FROM, kinds.INT32, ["k"]), _value(TO, kinds.INT32, ["m", "", "", ""])]
    inputs += [_value(name, kinds.INT64, [""]) for name in (FIRST, LAST, BETWEEN, PUT)]
    nodes = [_node("Expand", [TO, PUT], "index")]
    outputs = []
    for tensor in range(tensors):
        made = [f"{step}.{tensor}" for step in ("taken", "part", "cut", "turned", "whole")]
        nodes += [
            _node("Gather", [source(tensor), FROM], made[0], axis=0),
            _node("Slice", [made[0], FIRST, LAST, "positions"], made[1]),
            _node("Reshape", [made[1], BETWEEN], made[2]),
            _node("Transpose", [made[2]], made[3], perm=[1, 0, 2, 3]),
            _node("Reshape", [made[3], PUT], made[4]),
            _node("ScatterElements", [target(tensor), "index", made[4]], result(tensor), axis=0),
        ]
        inputs += [
            _value(source(tensor), data_type, ["a", "h", "p", "d"]),
            _value(target(tensor), data_type, ["b", "h", "q", "d"]),
        ]
        outputs.append(_value(result(tensor), data_type, ["b", "h", "q", "d"]))
    of = schema.TensorProto
    axis = number_field(of.DIMS, 1) + number_field(of.DATA_TYPE, kinds.INT64) + number_field(of.INT64_DATA, 2)
    body = b"".join(message(graph.NODE, node) for node in nodes) + text_field(graph.NAME, "copy rows")
    body += message(graph.INITIALIZER, axis + text_field(of.NAME, "positions"))
    body += b"".join(message(graph.INPUT, value) for value in inputs)
    body += b"".join(message(graph.OUTPUT, value) for value in outputs)
    model = schema.ModelProto
    opset = message(model.OPSETS, number_field(schema.OperatorSetIdProto.VERSION, OPSET))
    return number_field(model.IR_VERSION, 8) + opset + message(model.GRAPH, body)


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: int | list[int]) -> bytes:
    of, attribute = schema.NodeProto, schema.AttributeProto
    body = b"".join(text_field(of.INPUT, name) for name in inputs) + text_field(of.OUTPUT, output)
    body += text_field(of.OP_TYPE, kind)
    for name, given in attributes.items():
        if isinstance(given, int):
            numbers = number_field(attribute.I, given) + number_field(attribute.TYPE, attribute.INT)
        else:
            numbers = b"".join(number_field(attribute.INTS, number) for number in given)
            numbers += number_field(attribute.TYPE, attribute.INT_LIST)
        body += message(of.ATTRIBUTE, text_field(attribute.NAME, name) + numbers)
    return body


def _value(name: str, data_type: int, dims: Sequence[str]) -> bytes:
    """Return the description of a tensor whose dimensions are named, or of any size ("")."""
    of = schema.ValueInfoProto
    shape = b"".join(message(of.DIM, text_field(of.DIM_NAME, dim) if dim else b"") for dim in dims)
    tensor = number_field(of.ELEMENT_TYPE, data_type) + message(of.SHAPE, shape)
    return text_field(of.NAME, name) + message(of.TYPE, message(of.TENSOR, tensor))
