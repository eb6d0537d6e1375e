"""Changes that a world makes of a model when it is loaded: another accuracy level, a shorter context, and such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from turnwise.errors import ModelError
from turnwise.inference.folders.layouts.layout import CONTEXT_LENGTH_MAX, CONTEXT_LENGTH_MIN
from turnwise.inference.folders.model_folder import ModelFolder
from turnwise.inference.onnx.accuracy_level import rewritten_graph
from turnwise.inference.onnx.graph_facts import Graph
from turnwise.inference.plans.kv_sizes import window_row_positions
from turnwise.inference.plans.model_spec import ModelSpec


@dataclass(frozen=True, slots=True)
class ChangedFolder:
    """A language model's folder as it is loaded.

    - `folder`: with the changes
    - `changes`: those that have an effect, by the key of the world file; they make another model of it
    """

    folder: ModelFolder
    changes: Mapping[str, int]


def changed_folder(spec: ModelSpec, folder: ModelFolder) -> ChangedFolder:
    """Apply what the spec changes. Raises ModelError for what the model does not allow."""
    if spec.multiplications_max is not None:
        raise ModelError(
            "multiplications_max is stated, and a model that generates is bound by its context",
            where=f"models.{spec.name}.multiplications_max",
            actual=spec.multiplications_max,
            hint="Leave it out, or state context_tokens_max.",
        )
    layout = folder.layout
    graph, changes = _with_accuracy_level(spec, layout.graph, layout.graph_path)
    if changes:
        layout = replace(layout, graph=graph)
    wanted = spec.context_tokens_max
    if wanted is not None:
        if not CONTEXT_LENGTH_MIN <= wanted <= layout.context_length:
            raise ModelError(
                f"context_tokens_max is {wanted}, and the model's context {layout.context_length}",
                where=f"models.{spec.name}.context_tokens_max",
                expected=(CONTEXT_LENGTH_MIN, layout.context_length),
                actual=wanted,
                hint=f"Write a number from {CONTEXT_LENGTH_MIN} to {layout.context_length}, or leave it out.",
            )
        if wanted < layout.context_length:
            changes["context_tokens_max"] = wanted
            layout = replace(layout, context_length=wanted)
    if spec.kv_window:
        window = _window(spec, layout.graph, layout.graph_path)
        changes["kv_window"] = window_row_positions(window)
        layout = replace(layout, kv_window=window)
    return ChangedFolder(replace(folder, layout=layout), changes)


def changed_graph(spec: ModelSpec, graph: Graph, path: Path) -> tuple[Graph, Mapping[str, int]]:
    """Return the same for a graph that generates nothing, and so has no context."""
    if spec.context_tokens_max is not None:
        raise ModelError(
            "context_tokens_max is stated, and only models that generate have a context",
            where=f"models.{spec.name}.context_tokens_max",
            actual=spec.context_tokens_max,
            hint="Leave it out.",
        )
    if spec.kv_window:
        raise ModelError(
            "kv_window is stated, and only models that generate have a KV cache",
            where=f"models.{spec.name}.kv_window",
            hint="Leave it out.",
        )
    found, changes = _with_accuracy_level(spec, graph, path)
    if spec.multiplications_max is not None:
        changes["multiplications_max"] = spec.multiplications_max
    return found, changes


def _window(spec: ModelSpec, graph: Graph, path: Path) -> int:
    """The window of the layers that can keep one alone."""
    windows = sorted(set(graph.windowed.values()))
    if len(windows) != 1 or not 0 < windows[0] <= CONTEXT_LENGTH_MAX:
        found = f"windows of {windows}" if windows else "no layer that keeps a window alone"
        raise ModelError(
            f"kv_window is true, and the graph has {found}",
            where=str(path),
            expected="GroupQueryAttention with sliding_window_cache = 1, and one local_window_size",
            actual=windows,
            hint=f"Leave kv_window out of [models.{spec.name}], or build the graph anew: newer builders mark "
            "such layers.",
        )
    return windows[0]


def _with_accuracy_level(spec: ModelSpec, graph: Graph, path: Path) -> tuple[Graph, dict[str, int]]:
    if spec.accuracy_level is None:
        return graph, {}
    found = rewritten_graph(graph, spec.accuracy_level, path)
    return found, {"accuracy_level": spec.accuracy_level} if found.quantised != graph.quantised else {}
