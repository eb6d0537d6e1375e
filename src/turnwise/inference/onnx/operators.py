"""Operators that no model may have."""

from __future__ import annotations

from pathlib import Path

from turnwise.errors import ModelError
from turnwise.inference.onnx.graph_facts import Graph


def check_operators(path: Path, graph: Graph) -> None:
    """Raises ModelError for a graph that holds compiled code, which would run unseen, or draws random numbers."""
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
