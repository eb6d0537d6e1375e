"""`turnwise models bench`: how fast a model runs here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from turnwise.cli.commands.models.options import AccuracyLevel, ModelPath, Provider, Reproducible, TaskChoice, Variant
from turnwise.cli.commands.options import Json
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, bold, dim
from turnwise.cli.progress import doing
from turnwise.cli.text import count, json_text

if TYPE_CHECKING:
    from turnwise.inference.plans.model_info import ModelInfo
    from turnwise.inference.plans.model_spec import ModelSpec

LABEL_COLUMNS = 15

Figures = tuple["ModelInfo", list[tuple[str, str]], dict[str, object]]
"""The model, its figures for people with their labels, and the same for programs."""


def bench(
    path: ModelPath,
    variant: Variant = None,
    provider: Provider = "auto",
    task: TaskChoice = None,
    accuracy_level: AccuracyLevel = None,
    reproducible: Reproducible = True,
    json: Json = False,
) -> int:
    """Measure a model for some seconds.

    Prompt tokens a second, and what a step takes with one sequence and with several that share it; of a graph to infer,
    its runs a second, and of an encoder the texts. What else runs on the machine shows in the figures.
    """
    from turnwise.inference.folders.task import task_of
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
    measures = {"generate": _generating, "infer": _inferring, "embed": _embedding}
    with doing(Output.err(), "measuring the model"):
        info, figures, more = measures[task_of(spec)](spec)
    output = Output.err() if json else Output.out()
    output.line(bold(str(path)), f" on {info.provider}, {count(info.threads, 'thread')}")
    for label, text in [("load", f"{info.load_ms:,.0f} ms"), *figures]:
        output.line(dim(label.ljust(LABEL_COLUMNS)), text, indent=2)
    if json:
        same = {"path": str(path), "provider": info.provider, "threads": info.threads, "sha256": info.sha256}
        Output.out().write(json_text(same | {"task": info.task, "load_ms": info.load_ms} | more) + "\n")
    return DONE


def _generating(spec: ModelSpec) -> Figures:
    from turnwise.inference.engine.load import load_model
    from turnwise.inference.inspect.measure import measure

    model = load_model(spec)
    speed = measure(model.decoder)
    figures = [("prompt", f"{speed.prompt_tokens_per_s:,.0f} tokens/s ({speed.prompt_tokens} tokens)")]
    for rows, step in speed.step_ms.items():
        figures.append((count(rows, "sequence"), f"{rows * 1000 / step:,.0f} tokens/s ({step:.2f} ms a step)"))
    steps = {str(rows): step for rows, step in speed.step_ms.items()}
    more = {"prompt_tokens": speed.prompt_tokens, "prompt_tokens_per_s": speed.prompt_tokens_per_s, "step_ms": steps}
    return model.info, figures, more


def _inferring(spec: ModelSpec) -> Figures:
    from turnwise.inference.inspect.measure_graph import measure_graph
    from turnwise.inference.tensor_models.load import load_graph

    graph = load_graph(spec)
    speed = measure_graph(graph.model, graph.found.path)
    figures = [("inputs", ", ".join(f"{name} {list(shape)}" for name, shape in speed.tried.items()))]
    for rows, runs in speed.runs_per_s.items():
        calls = f"{rows * runs:,.0f} calls/s ({1000 / runs:.3f} ms a run)"
        figures.append(("alone" if rows == 1 else f"{rows} in a run", calls))
    more = {
        "inputs": {name: list(shape) for name, shape in speed.tried.items()},
        "calls_per_s": {str(rows): rows * runs for rows, runs in speed.runs_per_s.items()},
    }
    return graph.info, figures, more


def _embedding(spec: ModelSpec) -> Figures:
    from turnwise.inference.inspect.measure_graph import TEXTS, measure_encoder
    from turnwise.inference.tensor_models.embedder import load_embedder

    encoder = load_embedder(spec)
    speed = measure_encoder(encoder.embedder)
    figures = []
    for tokens, texts in speed.one.items():
        many = speed.many[tokens]
        figures.append((count(tokens, "token"), f"{texts:,.0f} texts/s one by one, {many:,.0f} in requests of {TEXTS}"))
    by_tokens = {str(tokens): {"one": texts, "many": speed.many[tokens]} for tokens, texts in speed.one.items()}
    return encoder.info, figures, {"texts_per_s": by_tokens, "texts_in_a_request": TEXTS}
