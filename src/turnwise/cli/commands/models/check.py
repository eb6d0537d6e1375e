"""`turnwise models check`: what a model is, and what can be promised of it here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from turnwise.cli.commands.models.options import AccuracyLevel, ModelPath, Provider, Reproducible, TaskChoice, Variant
from turnwise.cli.commands.options import Json
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output
from turnwise.cli.progress import doing
from turnwise.cli.text import json_text

if TYPE_CHECKING:
    from turnwise.inference.inspect.examine import Examined
    from turnwise.inference.inspect.examine_graph import ExaminedGraph
    from turnwise.inference.plans.model_spec import ModelSpec


def check(
    path: ModelPath,
    variant: Variant = None,
    provider: Provider = "auto",
    task: TaskChoice = None,
    accuracy_level: AccuracyLevel = None,
    reproducible: Reproducible = True,
    json: Json = False,
) -> int:
    """Load a model and say what it is.

    What the graph is made of, the memory of its KV cache, which provider runs its nodes, and its numeric class: whether
    an answer has the same bits whatever runs beside it, by which rule the engine achieves that, and what it costs. The
    first check of a model on a machine tries it for some seconds, and remembers what it found. Of a graph to infer or
    embed with: its inputs and outputs, which requests share a run, and how texts become vectors.
    """
    from turnwise.cli.commands.models.facts import describe, describe_graph
    from turnwise.inference.inspect.examine import Examined
    from turnwise.inference.plans.model_spec import ModelSpec

    spec = ModelSpec(
        path.name,
        path,
        provider,
        variant=variant,
        task=task,
        accuracy_level=accuracy_level,
        reproducible=reproducible,
    )
    with doing(Output.err(), "loading the model and trying it"):
        examined = _examine(spec)
    output = Output.err() if json else Output.out()
    if isinstance(examined, Examined):
        describe(examined, output)
    else:
        describe_graph(examined, output)
    if json:
        Output.out().write(json_text(_plain(asdict(examined))) + "\n")
    return DONE


def _examine(spec: ModelSpec) -> Examined | ExaminedGraph:
    from turnwise.inference.folders.task import task_of
    from turnwise.inference.inspect.examine import examine
    from turnwise.inference.inspect.examine_graph import examine_encoder, examine_graph

    task = task_of(spec)
    if task == "infer":
        return examine_graph(spec)
    if task == "embed":
        return examine_encoder(spec)
    return examine(
        spec.path,
        variant=spec.variant,
        provider=spec.provider,
        accuracy_level=spec.accuracy_level,
        reproducible=spec.reproducible,
    )


def _plain(value: Any) -> Any:
    """Tuples as lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
