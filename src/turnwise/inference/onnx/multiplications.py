"""Multiplications that a graph does, counted from the shapes of its values before anything is computed.

Counted is an upper bound: exact for products and convolutions; for operators that take each element a fixed number of
times, that number; and for all others as if each element of the outputs depended on each of the largest input. What is
not known of a shape counts as if the tensor took all the memory that a run may take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Final

from turnwise.inference.onnx.graph_facts import NESTING_MAX
from turnwise.inference.onnx.graph_shapes import UNKNOWN, Body, Node, Value

NODE: Final = 4_096
"""Multiplications that a node counts at least, since each takes some microseconds."""
ELEMENT: Final = 2
"""Multiplications for an element of an operator that looks at each once, such as an exponential function."""
SORTED_ELEMENT: Final = 32
"""The same for one that sorts, takes powers, or weighs neighbours."""
DIVIDED_ELEMENT: Final = 256
"""The same for a remainder, which of numbers that are far apart takes as many steps as their exponents differ."""
COUNT_MAX: Final = 2**62

_PRODUCTS: Final = frozenset(
    {"MatMul", "MatMulInteger", "MatMulInteger16", "QLinearMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul",
     "MatMulNBits", "MatMulBnb4"}
)  # fmt: skip
_TRANSPOSED_PRODUCTS: Final = frozenset({"Gemm", "FusedGemm", "FusedMatMul", "TransposeMatMul", "QGemm"})
_CONVOLUTIONS: Final = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3, "DeformConv": 1}
"""Operators, and which of their inputs is the kernel: [out, in / groups, …]."""
_POOLS: Final = {"MaxPool": 1, "AveragePool": 1, "LpPool": SORTED_ELEMENT, "QLinearAveragePool": 1, "MaxUnpool": 1}
"""Operators that look at a window, and the multiplications for each element of it: one takes powers."""
_RECURRENT: Final = frozenset({"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"})
_ATTENTION: Final = frozenset(
    {"Attention", "QAttention", "MultiHeadAttention", "GroupQueryAttention", "DecoderMaskedMultiHeadAttention",
     "PackedMultiHeadAttention", "PackedAttention"}
)  # fmt: skip
_SORTED: Final = frozenset(
    {"TopK", "Unique", "Resize", "Upsample", "GridSample", "AffineGrid", "StringNormalizer", "GlobalLpPool",
     "LpNormalization"}
)  # fmt: skip
_LINEAR: Final = frozenset(
    {
        "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh",
        "BatchNormalization", "BiasAdd", "BiasGelu", "BiasSoftmax", "BitShift", "BitwiseAnd", "BitwiseNot",
        "BitwiseOr", "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Compress", "Concat",
        "ConcatFromSequence", "Constant", "ConstantOfShape", "Cos", "Cosh", "CumSum", "DepthToSpace",
        "DequantizeLinear", "Div", "Dropout", "DynamicQuantizeLinear", "Elu", "EmbedLayerNormalization",
        "Equal", "Erf", "Exp", "Expand", "EyeLike", "FastGelu", "Flatten", "Floor", "FusedMul", "Gather",
        "GatherBlockQuantized", "GatherElements", "GatherND", "Gelu", "GlobalAveragePool",
        "GlobalMaxPool", "Greater", "GreaterOrEqual", "GroupNorm", "GroupNormalization", "HardSigmoid",
        "HardSwish", "Hardmax", "Identity", "InstanceNormalization", "IsInf", "IsNaN", "LayerNormalization",
        "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "Max", "Mean",
        "MeanVarianceNormalization", "Min", "Mish", "Mul", "Neg", "NonZero", "Not", "OneHot", "Or",
        "PRelu", "Pad", "Pow", "QLinearAdd", "QLinearConcat", "QLinearGlobalAveragePool", "QLinearLeakyRelu",
        "QLinearMul", "QLinearSigmoid", "QLinearSoftmax", "QuantizeLinear", "QuickGelu", "RMSNormalization",
        "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
        "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape",
        "ReverseSequence", "RotaryEmbedding", "Round", "Scatter", "ScatterElements", "ScatterND", "Selu",
        "Shape", "Shrink", "Sigmoid", "Sign", "SimplifiedLayerNormalization", "Sin", "Sinh", "Size",
        "SkipGroupNorm", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "Slice", "Softmax",
        "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Swish", "Tan",
        "Tanh", "ThresholdedRelu", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
    }
)  # fmt: skip


def multiplications(
    nodes: Sequence[Node],
    values: Mapping[str, Value],
    functions: Mapping[str, Body],
    loop_passes: int,
    depth: int = 0,
) -> int:
    """Return how many multiplications the nodes do, or `COUNT_MAX` if more.

    `values` are what is known of the shapes; `loop_passes` is how often the loops of the graph run at most.
    """
    count = 0
    for node in nodes:
        if depth > NESTING_MAX:
            return COUNT_MAX
        called = functions.get(node.kind)
        count += NODE + (_of_node(node, values) if called is None else 0)
        for body in node.bodies if called is None else (*node.bodies, called):
            inner = multiplications(body.nodes, {**values, **body.own}, functions, loop_passes, depth + 1)
            count += inner * _passes(node, values, loop_passes)
        if count >= COUNT_MAX:
            return COUNT_MAX
    return count


def _passes(node: Node, values: Mapping[str, Value], loop_passes: int) -> int:
    if node.kind == "Loop":
        return loop_passes
    if node.kind in ("Scan", "SequenceMap"):  # along a dimension of an input
        return max((_longest(value) for value in _values(node.inputs, values)), default=1)
    return 1


def _of_node(node: Node, values: Mapping[str, Value]) -> int:
    inputs, outputs = _values(node.inputs, values), _values(node.outputs, values)
    read, written = sum(value.elements for value in inputs), sum(value.elements for value in outputs)
    looked = ELEMENT * (read + written)
    kind = node.kind
    if kind in _LINEAR or node.bodies:
        return looked
    if kind in _SORTED:
        return SORTED_ELEMENT * (read + written)
    if kind == "Mod":
        return DIVIDED_ELEMENT * (read + written)
    if kind in _PRODUCTS and inputs and inputs[0].known:
        return looked + written * inputs[0].known[-1]
    if kind in _TRANSPOSED_PRODUCTS and inputs and inputs[0].known:
        return looked + written * max(inputs[0].known[-2:])
    if kind in _CONVOLUTIONS and len(inputs) > _CONVOLUTIONS[kind] and (kernel := inputs[_CONVOLUTIONS[kind]].known):
        return looked + written * prod(kernel[1:])
    if kind == "ConvTranspose" and len(inputs) > 1 and (kernel := inputs[1].known):
        return looked + inputs[0].elements * prod(kernel[1:])
    if kind in _POOLS and node.kernel:
        return looked + written * prod(node.kernel) * _POOLS[kind]
    if kind in _RECURRENT and len(inputs) > 2 and (sequence := inputs[0].known):
        return looked + prod(sequence[:2]) * (inputs[1].elements + inputs[2].elements)
    if kind == "NonMaxSuppression" and len(inputs) > 1 and (scores := inputs[1].known):
        return looked + prod(scores) * scores[-1]
    if kind == "Einsum" and (terms := _einsum(node.equation, inputs)) is not None:
        return looked + terms
    if kind in _ATTENTION and (terms := _attention(inputs, outputs)) is not None:
        return looked + terms
    return looked + written * max((value.elements for value in inputs), default=1)


def _einsum(equation: str, inputs: Sequence[Value]) -> int | None:
    """The product of the sizes of all letters; None where that cannot be told."""
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    if len(terms) != len(inputs):
        return None
    sizes: dict[str, int] = {}
    for term, value in zip(terms, inputs, strict=True):
        if value.known is None or len(term) != len(value.known) or not term.isalpha():
            return None
        for letter, size in zip(term, value.known, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return prod(sizes.values()) * max(1, len(terms) - 1)


def _attention(inputs: Sequence[Value], outputs: Sequence[Value]) -> int | None:
    """Products with the largest matrix of weights, and of queries with keys and values; None where not told."""
    shapes = [value.known for value in (*inputs, *outputs) if value.dims is not None]
    if not inputs or not inputs[0].known or not outputs or not outputs[0].known or None in shapes:
        return None
    rows = prod(inputs[0].known[:-1])
    weights = max((value.elements for value in inputs[1:] if value.known and len(value.known) == 2), default=0)
    longest = max(max(shape, default=1) for shape in shapes if shape is not None)
    return rows * weights + 4 * max(inputs[0].elements, outputs[0].elements) * longest


def _values(names: Sequence[str], values: Mapping[str, Value]) -> list[Value]:
    """Values by their names; those that are left out have none."""
    return [values.get(name, UNKNOWN) if name else Value((0,)) for name in names]


def _longest(value: Value) -> int:
    return value.elements if value.known is None else max(value.known, default=1)
