"""Any ONNX graph, run on named tensors.

What runs is one row or several: rows of the same shape may share a run where that gives the bits that each would get
alone. That is observed, not believed: see `_Rows`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from turnwise.errors import ModelError
from turnwise.inference.folders.content_hash import changed_hash, content_hash
from turnwise.inference.folders.files import FolderFiles
from turnwise.inference.folders.variants import GraphChoice, choose_graph
from turnwise.inference.onnx.accuracy_level import rewritten_graph
from turnwise.inference.onnx.graph_facts import Graph, read_graph
from turnwise.inference.onnx.providers import Opened, open_session, versions
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, Session, first_line, is_kernel_refusal, ort
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec, Task
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import INPUT_BYTES_MAX
from turnwise.inference.tensor_models.inputs_outputs import Port, batch_symbol, ports_of

Arrays = Mapping[str, NDArray[Any]]
Shapes = tuple[tuple[int, ...], ...]

BATCH_SIZES: Final = (16, 8, 4, 2)
"""How many rows run together: the sizes that the self-test tried."""
ROWS_SEEN_MIN: Final = 32
"""Shapes that the graph leaves open are tried after so many rows of them, since a trial costs about 46 rows."""
SHAPES_COUNT_MAX: Final = 256

_RANDOM: Final = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


class GraphModel:
    """A loaded graph. Runs are bound to the memory that the arrays lie in: nothing is copied on the way in."""

    def __init__(self, session: Session, graph_path: Path) -> None:
        self.inputs = ports_of(session.get_inputs(), graph_path, "input")
        self.outputs = ports_of(session.get_outputs(), graph_path, "output")
        self._session = session
        self._rows = _Rows(self)

    def bind(self, arrays: Arrays) -> list[Any]:
        """Inputs as ONNX Runtime takes them, over the arrays' own memory."""
        return [ort.OrtValue.ortvalue_from_numpy(arrays[port.name]) for port in self.inputs]

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """One run of contiguous arrays. Refusal: the operators do not take them; RUNTIME_ERRORS: the machine."""
        binding = self._session.io_binding()
        bound = self.bind(arrays)
        for port, value in zip(self.inputs, bound, strict=True):
            binding.bind_ortvalue_input(port.name, value)
        for port in self.outputs:
            binding.bind_output(port.name, "cpu")
        try:
            self._session.run_with_iobinding(binding)
        except RUNTIME_ERRORS as error:
            if not is_kernel_refusal(error):
                raise
            raise Refusal("refused", "the model's graph cannot process these tensors") from None
        results = [value.numpy() for value in binding.get_outputs()]
        return dict(zip([port.name for port in self.outputs], results, strict=True))

    def batch_size(self, shapes: Shapes, waiting: int) -> int:
        """How many of `waiting` rows of these shapes (by `shapes_of`) may share a run with equal bits; at least 1."""
        return self._rows.batch_size(shapes, waiting)

    def run_rows(self, rows: Sequence[Arrays]) -> list[dict[str, NDArray[Any]]]:
        """Run as many rows as `batch_size` allowed; what each would have got alone."""
        if len(rows) == 1:
            return [self.run(rows[0])]
        joined = {port.name: np.concatenate([row[port.name] for row in rows]) for port in self.inputs}
        found = self.run(joined)
        if any(array.shape[:1] != (len(rows),) for array in found.values()):
            return [self.run(row) for row in rows]
        return [{name: array[i : i + 1] for name, array in found.items()} for i in range(len(rows))]

    def rows_equal(self, shapes: Shapes) -> bool | None:
        """Whether random rows of these shapes get the same bits together as alone; None where no run can be shared."""
        return self._rows.equal(shapes)

    def shapes_of(self, arrays: Arrays) -> Shapes:
        return tuple(arrays[port.name].shape for port in self.inputs)

    @property
    def batches(self) -> str:
        """What was found on loading: `rows batched`, `rows singly`, or `rows tried` later, where shapes are open."""
        return self._rows.found


class _Rows:
    """Which shapes of rows may share a run: tried on random rows, alone and together, and compared bit for bit."""

    def __init__(self, model: GraphModel) -> None:
        self._model = model
        self._equal: dict[Shapes, bool] = {}
        self._seen: dict[Shapes, int] = {}
        self._symbol = batch_symbol(model.inputs, model.outputs)
        self.found = "rows singly"
        if self._symbol is not None:
            fixed = all(isinstance(dim, int) for port in model.inputs for dim in port.dims[1:])
            self.found = "rows tried"
            if fixed:
                shapes = tuple((1, *[dim for dim in port.dims[1:] if isinstance(dim, int)]) for port in model.inputs)
                self._equal[shapes] = self._try(shapes)
                self.found = "rows batched" if self._equal[shapes] else "rows singly"

    def batch_size(self, shapes: Shapes, waiting: int) -> int:
        if self._symbol is None or any(shape[:1] != (1,) for shape in shapes):
            return 1
        equal = self._equal.get(shapes)
        if equal is None and len(self._equal) < SHAPES_COUNT_MAX:
            seen = self._seen[shapes] = self._seen.get(shapes, 0) + 1
            if len(self._seen) > 8 * SHAPES_COUNT_MAX:
                self._seen.clear()
            if seen >= ROWS_SEEN_MIN:
                equal = self._equal[shapes] = self._try(shapes)
        if not equal:
            return 1
        return next((size for size in BATCH_SIZES if size <= waiting), 1)

    def equal(self, shapes: Shapes) -> bool | None:
        if self._symbol is None:
            return None
        if shapes not in self._equal:
            self._equal[shapes] = self._try(shapes)
        return self._equal[shapes]

    def _try(self, shapes: Shapes) -> bool:
        model = self._model
        try:
            rows = [random_arrays(model.inputs, shapes, number) for number in range(BATCH_SIZES[0])]
            alone = [model.run(row) for row in rows]
            return all(self._equal_in(rows, alone, size) for size in BATCH_SIZES)
        except Refusal:
            return False

    def _equal_in(self, rows: Sequence[Arrays], alone: Sequence[Arrays], size: int) -> bool:
        """Whether all rows, run in batches of this size, get what they got alone."""
        for start in range(0, len(rows), size):
            found = self._model.run_rows(rows[start : start + size])
            if not all(_same(one, other) for one, other in zip(alone[start : start + size], found, strict=True)):
                return False
        return True


def random_arrays(ports: Sequence[Port], shapes: Shapes, number: int) -> dict[str, NDArray[Any]]:
    """Random inputs of these shapes, always the same for a number; the size of what they hold differs too.

    Raises Refusal for shapes that no request can have: those of a graph are not trusted.
    """
    size = sum(prod(shape) * np.dtype(port.dtype).itemsize for port, shape in zip(ports, shapes, strict=True))
    if size > INPUT_BYTES_MAX:
        raise Refusal("refused", f"the inputs have {size:,} bytes in all, at most {INPUT_BYTES_MAX:,} are allowed")
    random = np.random.default_rng(number)
    scale = 10.0 ** (number % 3 - 1)
    return {port.name: _random(port, shape, random, scale) for port, shape in zip(ports, shapes, strict=True)}


def _random(port: Port, shape: tuple[int, ...], random: np.random.Generator, scale: float) -> NDArray[Any]:
    if port.dtype.startswith("float"):
        return (random.standard_normal(shape) * scale).astype(port.dtype)
    return random.integers(0, 2, shape).astype(port.dtype)  # small, since they may be indices


def _same(one: Arrays, other: Arrays) -> bool:
    return all(
        array.shape == other[name].shape and array.tobytes() == other[name].tobytes() for name, array in one.items()
    )


# -- loading -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoadedGraph:
    """A graph that answers `infer`."""

    info: ModelInfo
    model: GraphModel
    found: OpenGraph


def load_graph(spec: ModelSpec, options: EngineOptions | None = None) -> LoadedGraph:
    """Load the model of an `infer` task: a .onnx file, or a folder with one. Raises ModelError."""
    started = time.monotonic()
    files, choice = infer_graph(spec.path, spec.variant)
    found = open_graph(files, choice.name, spec, options or EngineOptions())
    load_ms = (time.monotonic() - started) * 1000
    form = f"infer, {found.model.batches}"
    return LoadedGraph(graph_info(spec, "infer", found, form, choice.variant, load_ms), found.model, found)


@dataclass(frozen=True, slots=True)
class OpenGraph:
    """A graph that is open: what runs it, what it says of itself, the size of its weights (bytes), and its hash.

    `changes` are what the spec changes of the files, where that has an effect.
    """

    path: Path
    opened: Opened
    model: GraphModel
    graph: Graph
    weights_bytes: int
    digest: str
    changes: Mapping[str, int]


def open_graph(files: FolderFiles, name: str, spec: ModelSpec, options: EngineOptions) -> OpenGraph:
    """Check and open a graph of a folder; its files are then among `files.files`. Raises ModelError."""
    path = files.file(name)
    graph, changes = _as_asked(spec, read_graph(path), path)
    for operator in graph.operators:
        short = operator.rpartition(":")[2]
        if short in _RANDOM:
            raise ModelError(
                f"draws random numbers ({short}), which nobody could draw again",
                where=str(path),
                expected="a graph whose outputs depend on its inputs alone",
                hint="Export the model for inference, or give it its random numbers as an input.",
            )
        if short == "EPContext":
            raise ModelError(
                "holds code compiled for one device (EPContext)",
                where=str(path),
                expected="a graph of ordinary operators",
                hint="Take the model's portable graph; no compiled code from a model folder is run.",
            )
    data = files.external(path, graph)
    size = path.stat().st_size + sum(file.stat().st_size for file in data)
    opened = open_session(spec, path, size, options)
    try:
        model = GraphModel(opened.session, path)
    except RUNTIME_ERRORS as error:
        raise fails(path, error) from error
    digest = changed_hash(content_hash(dict(sorted(files.files.items()))), changes)
    return OpenGraph(path, opened, model, graph, size, digest, changes)


def _as_asked(spec: ModelSpec, graph: Graph, path: Path) -> tuple[Graph, dict[str, int]]:
    """The graph as the spec asks for it, and what that changes."""
    if spec.context_tokens_max is not None:
        raise ModelError(
            "context_tokens_max is stated, and only models that generate have a context",
            where=f"models.{spec.name}.context_tokens_max",
            actual=spec.context_tokens_max,
            hint="Leave it out.",
        )
    if spec.accuracy_level is None:
        return graph, {}
    found = rewritten_graph(graph, spec.accuracy_level, path)
    return found, {"accuracy_level": spec.accuracy_level} if found.quantised != graph.quantised else {}


def fails(path: Path, error: Exception) -> ModelError:
    """A graph that cannot be run here at all. What memory it takes is the graph's to say, and not trusted."""
    return ModelError(
        f"the graph fails when it is tried: {first_line(error)}",
        where=str(path),
        expected="outputs for random inputs",
        hint="It is damaged, or wants more memory than there is.",
    )


def graph_info(
    spec: ModelSpec, task: Task, found: OpenGraph, form: str, variant: str | None, load_ms: float
) -> ModelInfo:
    """What is reported of a model that generates nothing."""
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
        versions=versions(),
        load_ms=load_ms,
        variant=variant,
        task=task,
        accuracy_level=found.changes.get("accuracy_level"),
    )


def infer_graph(path: Path, variant: str | None) -> tuple[FolderFiles, GraphChoice]:
    """The graph at `path`: a .onnx file, or one of a folder. Raises ModelError."""
    if path.is_dir():
        return FolderFiles(path), choose_graph(path, variant, "infer")
    if not path.is_file():
        raise ModelError(
            "does not exist",
            where=str(path),
            expected="a .onnx file, or a folder with one",
            hint="Correct the path: it names a .onnx file, or a folder with one.",
        )
    if variant is not None:
        raise ModelError(
            f"is one graph, and has no variant {variant!r}",
            where=str(path),
            actual=variant,
            hint="Name its folder as the path, or no variant.",
        )
    return FolderFiles(path.parent), GraphChoice(path.name, None, ())
