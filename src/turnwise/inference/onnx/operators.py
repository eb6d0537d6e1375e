"""Operators that no model may have."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Final

from turnwise.errors import ModelError
from turnwise.inference.onnx.graph_facts import Graph

LOOP_PASSES_MAX: Final = 65_536
"""Passes of all loops that stand in each other."""

SEARCHES: Final = frozenset({"BeamSearch", "GreedySearch", "WhisperBeamSearch"})
"""Operators that run a graph in them as often as their inputs say."""


def loop_passes_max(loops: Iterable[tuple[int, int | None]]) -> int | None:
    """Return how often the inner part of a graph's loops runs at most; None where the data decides it."""
    deepest: dict[int, int] = {}
    for depth, passes in loops:
        if passes is None:
            return None
        deepest[depth] = max(deepest.get(depth, 1), passes)
    return prod(deepest.values())


def check_operators(path: Path, graph: Graph) -> None:
    """Raises ModelError for a graph that holds compiled code, draws random numbers, or computes as long as its inputs
    say and not as their sizes do."""
    if any(name.rpartition(":")[2] == "EPContext" for name in graph.operators):
        raise ModelError(
            "holds code compiled for one device (EPContext)",
            where=str(path),
            expected="a graph of ordinary operators",
            hint="Take the model's portable graph; no compiled code from a model folder is run.",
        )
    if graph.random:
        raise ModelError(
            f"draws random numbers ({min(graph.random)}), which nobody could draw again",
            where=str(path),
            expected="a graph whose outputs depend on its inputs alone",
            hint="Export the model for inference, or give it its random numbers as an input.",
        )
    searches = sorted(name for name in graph.operators if name.rpartition(":")[2] in SEARCHES)
    passes = loop_passes_max(graph.loops)
    if searches or passes is None or passes > LOOP_PASSES_MAX:
        found = f"{passes:,} passes" if passes is not None else "as many passes as its inputs say"
        raise ModelError(
            f"computes for longer than sizes say: {searches[0] if searches else f'its loops (Loop) take {found}'}",
            where=str(path),
            expected=f"loops with a constant number of passes, at most {LOOP_PASSES_MAX:,} for those within each other",
            actual=passes,
            hint="Export the graph with a constant number of passes, or without a loop (Scan follows a size).",
        )
