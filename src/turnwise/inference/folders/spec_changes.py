"""A model as a world asks for it: what its folder says, and what the world changes of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from turnwise.errors import ModelError
from turnwise.inference.folders.layouts.layout import CONTEXT_LENGTH_MIN
from turnwise.inference.folders.model_folder import ModelFolder
from turnwise.inference.onnx.accuracy_level import rewritten_graph
from turnwise.inference.plans.model_spec import ModelSpec


@dataclass(frozen=True, slots=True)
class AsAsked:
    """The folder as it is loaded. `changes` are those that have an effect: they make another model of it."""

    folder: ModelFolder
    changes: Mapping[str, int]


def as_asked(spec: ModelSpec, folder: ModelFolder) -> AsAsked:
    """Apply what the spec changes. Raises ModelError for what the model does not allow."""
    changes = {}
    if spec.accuracy_level is not None:
        graph = rewritten_graph(folder.graph, spec.accuracy_level, folder.graph_path)
        if graph.quantised != folder.graph.quantised:
            changes["accuracy_level"] = spec.accuracy_level
            folder = replace(folder, graph=graph)
    wanted = spec.context_tokens_max
    if wanted is not None:
        if not CONTEXT_LENGTH_MIN <= wanted <= folder.context_length:
            raise ModelError(
                f"context_tokens_max is {wanted}, and the model's context {folder.context_length}",
                where=f"models.{spec.name}.context_tokens_max",
                expected=(CONTEXT_LENGTH_MIN, folder.context_length),
                actual=wanted,
                hint=f"Write a number from {CONTEXT_LENGTH_MIN} to {folder.context_length}, or leave it out.",
            )
        if wanted < folder.context_length:
            changes["context_tokens_max"] = wanted
            folder = replace(folder, context_length=wanted)
    return AsAsked(folder, changes)
