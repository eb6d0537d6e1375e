"""A counted bound for what one run of a graph computes: the same everywhere, however fast the machine is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from turnwise.errors import ModelError
from turnwise.inference.onnx.graph_facts import Graph
from turnwise.inference.onnx.graph_shapes import GraphShapes
from turnwise.inference.onnx.multiplications import multiplications
from turnwise.inference.onnx.operators import loop_passes_max
from turnwise.inference.onnx.protobuf import Unreadable
from turnwise.inference.requests.refusal import Refusal

MULTIPLICATIONS_MAX: Final = 1_000_000_000_000
"""Multiplications of one run for one row, where the world says nothing else."""
SHAPES_COUNT_MAX: Final = 256
"""Shapes whose count is remembered."""


class WorkBound:
    """Counts what a graph computes for inputs of given shapes, and refuses what is too much.

    - `multiplications_max`: bound for the inputs of one row
    """

    def __init__(self, path: Path, graph: Graph, multiplications_max: int | None = None) -> None:
        """`graph` are the facts of the graph at `path`. Raises ModelError if it cannot be read."""
        self.multiplications_max = multiplications_max or MULTIPLICATIONS_MAX
        self._names = list(graph.inputs)
        self._passes = loop_passes_max(graph.loops) or 1
        self._counts: dict[tuple[tuple[str, tuple[int, ...]], ...], int] = {}
        self._told: Callable[[int], None] | None = None
        try:
            self._shapes = GraphShapes(path)
        except Unreadable as error:
            raise ModelError(f"is not an ONNX model: {error}", where=str(path), expected="an ONNX model") from error

    def watch(self, told: Callable[[int], None]) -> None:
        """Call `told` with the count before each run."""
        self._told = told

    def count(self, inputs: tuple[tuple[str, tuple[int, ...]], ...]) -> int:
        """Return how many multiplications a run takes, at most, for inputs of these shapes, each with its name."""
        known = self._counts.get(inputs)
        if known is None:
            if len(self._counts) >= SHAPES_COUNT_MAX:
                self._counts.clear()
            values = self._shapes.values(dict(inputs))
            known = multiplications(self._shapes.nodes, values, self._shapes.functions, self._passes)
            self._counts[inputs] = known
        return known

    def check(self, inputs: tuple[tuple[str, tuple[int, ...]], ...], rows: int = 1) -> None:
        """Raise Refusal if a run of so many rows, whose inputs have these shapes, takes more than is allowed."""
        count = self.count(inputs)
        if count > self.multiplications_max * rows:
            raise Refusal(
                "refused",
                f"the model's graph may need more than {self.multiplications_max:,} multiplications for these tensors "
                "(multiplications_max)",
            )
        if self._told is not None:
            self._told(count)
