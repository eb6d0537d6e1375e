"""What keeps the bits of a sequence the same in every batch, by the form of a graph's weights.

Observed on ONNX Runtime's CPU provider: full precision and 4-bit weights at accuracy level 4 in blocks of at most 32
give a row the same bits in every batch. With larger blocks, or at other accuracy levels, a single row is multiplied by
other arithmetic than several, and of an odd number of rows the last one is.
"""

from __future__ import annotations

from typing import Final, Literal

from turnwise.inference.graph import Graph

Batching = Literal["free", "even", "single"]
"""Nothing is needed; an even number of rows, at least two; running alone."""

ACCURACY_FREE: Final = 4
BLOCK_FREE_MAX: Final = 32


def batching_of(graph: Graph) -> Batching:
    """How a graph with GroupQueryAttention in place is batched on the CPU."""
    free = all(form.accuracy == ACCURACY_FREE and form.block <= BLOCK_FREE_MAX for form in graph.quantised)
    return "free" if free else "even"
