"""Operators that no model may have."""

from __future__ import annotations

from pathlib import Path

from turnwise.errors import ModelError
from turnwise.inference.onnx.graph_facts import Graph


def check_operators(path: Path, graph: Graph) -> None:
    """Raises ModelError for a graph that holds compiled code, which would run unseen."""
    if any(name.rpartition(":")[2] == "EPContext" for name in graph.operators):
        raise ModelError(
            "holds code compiled for one device (EPContext)",
            where=str(path),
            expected="a graph of ordinary operators",
            hint="Take the model's portable graph; no compiled code from a model folder is run.",
        )
