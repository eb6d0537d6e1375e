"""What keeps the bits of a sequence the same in every batch, by the form of a graph's weights and of its cache.

Observed on ONNX Runtime's CPU provider: full precision and 4-bit weights at accuracy level 4 in blocks of at most 32
give a row the same bits in every batch. With larger blocks, or at other accuracy levels, a single row is multiplied by
other arithmetic than several, and of an odd number of rows the last one is.
"""

from __future__ import annotations

from typing import Final, Literal

from turnwise.inference.onnx.graph_facts import Graph

Batching = Literal["free", "even", "equal", "equal-even", "single"]
"""Nothing is needed; an even number of rows, at least two; sequences of equal length; both; running alone."""

ACCURACY_FREE: Final = 4
BLOCK_FREE_MAX: Final = 32


def batching_of(graph: Graph, growing: bool = False) -> Batching:
    """How a graph is batched on the CPU: with a cache in place (GroupQueryAttention), or one that grows."""
    free = all(form.accuracy == ACCURACY_FREE and form.block <= BLOCK_FREE_MAX for form in graph.quantised)
    return in_cache("free" if free else "even", growing)


def in_cache(batching: Batching, growing: bool) -> Batching:
    """The batching that is meant, for a cache of this kind."""
    if growing and batching in ("free", "even"):
        return "equal" if batching == "free" else "equal-even"
    return batching


def is_even(batching: Batching) -> bool:
    """Whether an odd number of rows or of prompt tokens is run as one more."""
    return batching in ("even", "equal-even")


def is_equal(batching: Batching) -> bool:
    """Whether only sequences of equal length run together."""
    return batching in ("equal", "equal-even")
