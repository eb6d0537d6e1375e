"""`turnwise models check`: what a model is, and what can be promised of it here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnwise.cli.commands.models.options import AccuracyLevel, ModelPath, Provider, Reproducible, TaskChoice, Variant
from turnwise.cli.commands.options import Json
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, bold, dim, yellow
from turnwise.cli.progress import doing
from turnwise.cli.text import json_text
from turnwise.errors import UsageError

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
    embed with: its inputs and outputs, which requests share a run, and how texts become vectors. Of an address, for a
    model behind a URL: what can be promised of it, which is nothing; nobody is asked.
    """
    if (url := _url(path)) is not None:
        if variant is not None or provider != "auto" or accuracy_level is not None or not reproducible:
            hint = "Leave out the options that say how a model is loaded."
            raise UsageError("a model behind a URL is loaded elsewhere", where=url, hint=hint)
        return _check_endpoint(url, task, json=json)
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


def _url(path: Path) -> str | None:
    """Return the address that was given in the place of a path, which has lost a slash there; None if none was."""
    scheme, colon, rest = path.as_posix().partition(":/")
    return f"{scheme}://{rest}" if colon and scheme in ("http", "https") else None


def _check_endpoint(url: str, task: str | None, *, json: bool) -> int:
    """Say what can be promised of a model behind a URL."""
    from turnwise.inference.endpoints.host import info_of
    from turnwise.inference.plans.endpoint_spec import EndpointSpec

    if task == "infer":
        raise UsageError("a model behind a URL cannot infer", where="--task", hint="Write generate or embed.")
    info = info_of(EndpointSpec("model", url, "model", "embed" if task == "embed" else "generate"))
    output = Output.err() if json else Output.out()
    output.line(bold(url), ": a model behind a URL")
    output.line(dim("class     "), yellow("none"), " (nobody here knows what it is, so nothing was tried)", indent=2)
    output.line(dim("promise   "), "its answers are recorded; nothing is promised of another run", indent=2)
    if json:
        told = {"numeric": None if info.numeric is None else asdict(info.numeric), "task": info.task}
        Output.out().write(json_text({"url": url, "info": _plain(told)}) + "\n")
    return DONE
