"""Opens and checks a graph that generates nothing, and loads the model of an `infer` task."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from turnwise.errors import ModelError
from turnwise.inference.folders.content_hash import changed_hash, content_hash
from turnwise.inference.folders.files import FolderFiles
from turnwise.inference.folders.spec_changes import changed_graph
from turnwise.inference.folders.variants import infer_graph
from turnwise.inference.onnx.graph_facts import Graph, read_graph
from turnwise.inference.onnx.operators import check_operators
from turnwise.inference.onnx.provider_names import CPU
from turnwise.inference.onnx.providers import versions
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, first_line
from turnwise.inference.onnx.sessions import Opened, Sessions, open_session
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec, Task
from turnwise.inference.requests.tensors import OUTPUT_BYTES_MAX
from turnwise.inference.tensor_models.agreement import TOLERANCE_FULL, TOLERANCE_LESS, difference
from turnwise.inference.tensor_models.graph_model import GraphModel
from turnwise.inference.tensor_models.work_bound import WorkBound


@dataclass(frozen=True, slots=True)
class LoadedGraph:
    """A graph that answers `infer`.

    - `info`: what is told of it
    - `model`: what runs rows of it
    - `found`: the open graph
    """

    info: ModelInfo
    model: GraphModel
    found: OpenGraph


def load_graph(spec: ModelSpec, options: EngineOptions | None = None) -> LoadedGraph:
    """Load the model of an `infer` task: a .onnx file, or a folder with one. Raises ModelError."""
    started = time.monotonic()
    files, choice = infer_graph(spec.path, spec.variant)
    found = open_graph(files, choice.name, spec, options or EngineOptions(), OUTPUT_BYTES_MAX)
    load_ms = (time.monotonic() - started) * 1000
    form = f"infer, {found.model.batching.found}"
    return LoadedGraph(graph_info(spec, "infer", found, form, choice.variant, load_ms), found.model, found)


@dataclass(frozen=True, slots=True)
class OpenGraph:
    """A graph that is open.

    - `path`: its file
    - `opened`: its session, and what runs it
    - `model`: what runs rows of it
    - `graph`: what it says of itself
    - `weights_bytes`: the size of its files
    - `digest`: the hash (hex) of its content, and of what the spec changes of that
    - `changes`: what the spec changes, where that has an effect
    """

    path: Path
    opened: Opened
    model: GraphModel
    graph: Graph
    weights_bytes: int
    digest: str
    changes: Mapping[str, int]


def open_graph(
    files: FolderFiles, name: str, spec: ModelSpec, options: EngineOptions, output_bytes_max: int | None = None
) -> OpenGraph:
    """Check and open a graph of a folder; its files are then among `files.files`. Raises ModelError.

    `output_bytes_max` is what the outputs of one row may have.
    """
    if not spec.reproducible:
        raise ModelError(
            "a model that generates no text has one way to run, which gives the same bits",
            where=f"models.{spec.name}.reproducible",
            expected=True,
            actual=False,
            hint="Leave reproducible = false out.",
        )
    path = files.file(name)
    graph, changes = changed_graph(spec, read_graph(path), path)
    check_operators(path, graph)
    data = files.external(path, graph)
    size = path.stat().st_size + sum(file.stat().st_size for file in data)
    opened, model = _open(spec, path, size, options, graph, output_bytes_max)
    digest = changed_hash(content_hash(dict(sorted(files.files.items()))), changes)
    return OpenGraph(path, opened, model, graph, size, digest, changes)


def _open(
    spec: ModelSpec,
    path: Path,
    weights_bytes: int,
    options: EngineOptions,
    graph: Graph,
    output_bytes_max: int | None,
) -> tuple[Opened, GraphModel]:
    """Return a session on the best provider that starts and agrees with the CPU about random inputs."""
    sessions = Sessions(spec, path, weights_bytes, options, counted=True)
    work = WorkBound(path, graph, spec.multiplications_max)
    tolerance = TOLERANCE_LESS if graph.half or graph.quantised else TOLERANCE_FULL
    while True:
        opened = sessions.open()
        try:
            model = GraphModel(opened.session, path, output_bytes_max, work)
            if opened.provider == CPU:
                return opened, model
            on_cpu = replace(spec, provider="cpu", require=False)
            here = open_session(on_cpu, path, weights_bytes, options, counted=True)
            seen = difference(model, GraphModel(here.session, path, work=work), tolerance)
        except RUNTIME_ERRORS as error:
            if opened.provider == CPU:
                raise fails(path, error) from error
            seen = f"fails: {first_line(error)}"
        if seen is None:
            return opened, model
        sessions.refuse(opened, seen)


def fails(path: Path, error: Exception) -> ModelError:
    """Make the error for a graph that cannot be run here at all: it may want any amount of memory."""
    return ModelError(
        f"the graph fails when it is tried: {first_line(error)}",
        where=str(path),
        expected="outputs for random inputs",
        hint="It is damaged, or wants more memory than there is.",
    )


def graph_info(
    spec: ModelSpec, task: Task, found: OpenGraph, form: str, variant: str | None, load_ms: float
) -> ModelInfo:
    """Make the info of a model that generates nothing."""
    opened = found.opened
    return ModelInfo(
        name=spec.name,
        sha256=found.digest,
        provider_asked=spec.provider,
        provider=opened.provider,
        providers=tuple(opened.session.get_providers()),
        nodes=opened.nodes,
        fallback=opened.fallback,
        form=form,
        context_length=0,
        vocabulary_size=0,
        kv_bytes_per_token=0,
        threads=opened.threads,
        versions=versions() | dict(opened.facts),
        load_ms=load_ms,
        variant=variant,
        task=task,
        accuracy_level=found.changes.get("accuracy_level"),
    )
