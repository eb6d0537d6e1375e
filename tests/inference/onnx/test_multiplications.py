"""The count is never below what a graph computes, and is what it computes for products and convolutions."""

from __future__ import annotations

import pytest

from turnwise.inference.onnx.counted_memory import BYTES_MAX
from turnwise.inference.onnx.graph_shapes import UNKNOWN, Body, Node, Value
from turnwise.inference.onnx.multiplications import (
    COUNT_MAX,
    DIVIDED_ELEMENT,
    ELEMENT,
    NODE,
    SORTED_ELEMENT,
    multiplications,
)

Shape = tuple[int, ...]


def node(kind: str, inputs: int, bodies: tuple[Body, ...] = (), **more: object) -> Node:
    names = tuple([f"i{number}" for number in range(inputs)])
    return Node(kind, names, ("o",), more.get("kernel", ()), str(more.get("equation", "")), bodies)  # type: ignore[arg-type]


def count(kind: str, *shapes: Shape, loop_passes: int = 1, bodies: tuple[Body, ...] = (), **more: object) -> int:
    """Count one node; the last shape is its output's."""
    values = {f"i{number}": Value(shape) for number, shape in enumerate(shapes[:-1])} | {"o": Value(shapes[-1])}
    return multiplications([node(kind, len(shapes) - 1, bodies, **more)], values, {}, loop_passes)


def looked(*shapes: Shape) -> int:
    return NODE + ELEMENT * sum(Value(shape).elements for shape in shapes)


@pytest.mark.parametrize(
    ("kind", "shapes", "more", "expected"),
    [
        ("Add", [(4, 5), (4, 5), (4, 5)], {}, 0),
        ("MatMul", [(7, 4, 5), (7, 5, 6), (7, 4, 6)], {}, 7 * 4 * 5 * 6),
        ("MatMul", [(5,), (5,), ()], {}, 5),
        ("QLinearMatMul", [(4, 5), (), (), (5, 6), (), (), (), (), (4, 6)], {}, 4 * 5 * 6),
        ("MatMulNBits", [(4, 32), (6, 1, 16), (6,), (4, 6)], {}, 4 * 32 * 6),
        ("Gemm", [(5, 4), (5, 6), (6,), (4, 6)], {}, 4 * 6 * 5),
        ("Conv", [(1, 8, 9, 9), (16, 4, 3, 3), (1, 16, 7, 7)], {}, 16 * 7 * 7 * 4 * 9),
        ("QLinearConv", [(1, 8, 9), (), (), (16, 8, 3), (), (), (), (), (1, 16, 7)], {}, 16 * 7 * 8 * 3),
        ("ConvTranspose", [(1, 8, 5, 5), (8, 4, 3, 3), (1, 4, 7, 7)], {}, 8 * 25 * 4 * 9),
        ("MaxPool", [(1, 8, 9, 9), (1, 8, 7, 7)], {"kernel": (3, 3)}, 8 * 49 * 9),
        ("LpPool", [(1, 8, 9, 9), (1, 8, 7, 7)], {"kernel": (3, 3)}, 8 * 49 * 9 * SORTED_ELEMENT),
        ("LSTM", [(10, 2, 3), (1, 16, 3), (1, 16, 4), (10, 1, 2, 4)], {}, 20 * (48 + 64)),
        ("NonMaxSuppression", [(1, 100, 4), (1, 3, 100), (30, 3)], {}, 3 * 100 * 100),
        ("Einsum", [(2, 3, 4), (2, 4, 5), (2, 3, 5)], {"equation": "bij, bjk -> bik"}, 2 * 3 * 4 * 5),
        ("MultiHeadAttention", [(1, 6, 8), (1, 9, 8), (1, 9, 8), (1, 6, 8)], {}, 4 * 48 * 9),
        ("Attention", [(1, 6, 8), (8, 24), (24,), (1, 6, 8)], {}, 6 * 8 * 24 + 4 * 48 * 24),
        ("Det", [(3, 4, 4), (3,)], {}, 3 * 48),
        ("NobodyKnows", [(2, 3), (5, 7), (4,)], {}, 4 * 35),
    ],
)
def test_what_a_node_multiplies(kind: str, shapes: list[Shape], more: dict[str, object], expected: int) -> None:
    assert count(kind, *shapes, **more) == looked(*shapes) + expected


def test_what_sorts_or_divides_looks_more_often() -> None:
    assert count("Mod", (4, 5), (5,), (4, 5)) == NODE + DIVIDED_ELEMENT * 45
    assert count("TopK", (4, 5), (1,), (4, 2)) == NODE + SORTED_ELEMENT * (20 + 1 + 8)


@pytest.mark.parametrize(
    ("kind", "more"),
    [("MatMul", {}), ("Conv", {}), ("Einsum", {"equation": "ij,jk->ik"}), ("Einsum", {"equation": "...j,jk->...k"})],
)
def test_what_is_not_known_counts_as_if_it_filled_the_memory(kind: str, more: dict[str, object]) -> None:
    values = {"i0": Value((None, 5), 4), "i1": Value((5, 6), 4), "o": Value((4, 6), 4)}
    found = multiplications([node(kind, 2, **more)], values, {}, 1)
    assert found >= 24 * BYTES_MAX // 4 or kind == "Conv"
    assert multiplications([node(kind, 2, **more)], {}, {}, 1) == COUNT_MAX


def test_inputs_that_are_left_out_count_nothing() -> None:
    bare = Node("Clip", ("x", "", "top"), ("y",), (), "", ())
    values = {"x": Value((4,)), "top": Value(()), "y": Value((4,))}
    assert multiplications([bare], values, {}, 1) == NODE + ELEMENT * 9


INNER = Body((Node("Add", ("c", "x"), ("s",), (), "", ()),), {"c": Value((1, 8)), "s": Value((1, 8))})
ONCE = NODE + ELEMENT * 24


def test_graphs_in_nodes_count_as_often_as_they_run() -> None:
    values = {"x": Value((1, 8)), "n": Value(()), "y": Value((1, 8))}
    whole = {
        kind: multiplications([Node(kind, ("n", "x"), ("y",), (), "", (INNER,))], values, {}, 50)
        for kind in ("If", "Loop", "Scan")
    }
    own = NODE + ELEMENT * 17
    assert whole == {"If": own + ONCE, "Loop": own + 50 * ONCE, "Scan": own + 8 * ONCE}
    nested = Body((Node("Loop", ("n", "x"), ("z",), (), "", (INNER,)),), {"z": Value((1, 8))})
    found = multiplications([Node("Loop", ("n", "x"), ("y",), (), "", (nested,))], values, {}, 50)
    assert found > 50 * 50 * ONCE


def test_names_within_are_not_those_outside() -> None:
    hidden = Body(INNER.nodes, {"c": UNKNOWN, "s": UNKNOWN})
    values = {"x": Value((1, 8)), "c": Value(()), "s": Value(()), "y": Value((1, 8))}
    assert multiplications([Node("If", ("x",), ("y",), (), "", (hidden,))], values, {}, 1) > 2 * BYTES_MAX


def test_functions_of_the_model_count_where_they_are_called() -> None:
    call = Node("Twice", ("x",), ("y",), (), "", ())
    values = {"x": Value((1, 8)), "y": Value((1, 8))}
    assert multiplications([call, call], values, {"Twice": INNER}, 1) == 2 * (NODE + ONCE)
    endless = {"Twice": Body((call,), {})}
    assert multiplications([call], values, endless, 1) == COUNT_MAX
