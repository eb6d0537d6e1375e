"""Numbers of the fields of an ONNX model that are read or written here (onnx.proto3)."""

from __future__ import annotations

from typing import Final


class ModelProto:
    """ModelProto."""

    IR_VERSION: Final = 1
    GRAPH: Final = 7
    OPSETS: Final = 8
    FUNCTIONS: Final = 25


class OperatorSetIdProto:
    """OperatorSetIdProto."""

    VERSION: Final = 2


class FunctionProto:
    """FunctionProto."""

    NAME: Final = 1
    NODE: Final = 7
    ATTRIBUTE_DEFAULT: Final = 11


class GraphProto:
    """GraphProto."""

    NODE: Final = 1
    NAME: Final = 2
    INITIALIZER: Final = 5
    INPUT: Final = 11
    OUTPUT: Final = 12
    VALUE_INFO: Final = 13
    SPARSE_INITIALIZER: Final = 15


class NodeProto:
    """NodeProto."""

    INPUT: Final = 1
    OUTPUT: Final = 2
    OP_TYPE: Final = 4
    ATTRIBUTE: Final = 5
    DOMAIN: Final = 7


class AttributeProto:
    """AttributeProto. `INT` is the value of `TYPE` for a number, `INT_LIST` that for several."""

    NAME: Final = 1
    I: Final = 3  # noqa: E741
    S: Final = 4
    T: Final = 5
    G: Final = 6
    INTS: Final = 8
    TENSORS: Final = 10
    GRAPHS: Final = 11
    TYPE: Final = 20
    SPARSE_TENSOR: Final = 22
    SPARSE_TENSORS: Final = 23
    INT: Final = 2
    INT_LIST: Final = 7


class ValueInfoProto:
    """ValueInfoProto, and what lies in it: TypeProto, its tensor, that one's shape, a dimension of it."""

    NAME: Final = 1
    TYPE: Final = 2
    TENSOR: Final = 1
    ELEMENT_TYPE: Final = 1
    SHAPE: Final = 2
    DIM: Final = 1
    DIM_VALUE: Final = 1
    DIM_NAME: Final = 2


class TensorProto:
    """TensorProto. `EXTERNAL` is the value of `DATA_LOCATION` for data in another file."""

    DIMS: Final = 1
    DATA_TYPE: Final = 2
    INT32_DATA: Final = 5
    INT64_DATA: Final = 7
    NAME: Final = 8
    RAW_DATA: Final = 9
    EXTERNAL_DATA: Final = 13
    DATA_LOCATION: Final = 14
    EXTERNAL: Final = 1


class SparseTensorProto:
    """SparseTensorProto."""

    VALUES: Final = 1
    INDICES: Final = 2


class StringStringEntryProto:
    """StringStringEntryProto."""

    KEY: Final = 1
    VALUE: Final = 2


class DataType:
    """TensorProto.DataType."""

    FLOAT: Final = 1
    INT32: Final = 6
    INT64: Final = 7
    BOOL: Final = 9
    HALF: Final = 10
