"""Examination of a graph to `infer`, or an encoder to `embed` with, for `turnwise models check`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from turnwise.inference.decoding.graph_form import form_of
from turnwise.inference.decoding.self_test import NumericClass
from turnwise.inference.folders.embedding_folder import read_embed_folder
from turnwise.inference.folders.variants import infer_graph
from turnwise.inference.onnx.counted_memory import MemoryRefused
from turnwise.inference.onnx.provider_names import CPU
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS
from turnwise.inference.onnx.sessions import open_session
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.embed_request import TEXT_CHARS_MAX, TEXTS_COUNT_MAX
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import INPUT_BYTES_MAX, OUTPUT_BYTES_MAX
from turnwise.inference.tensor_models.embedder import LoadedEmbedder, load_embedder
from turnwise.inference.tensor_models.graph_model import GraphModel
from turnwise.inference.tensor_models.inputs_outputs import Dim, TensorSpec, batch_symbol
from turnwise.inference.tensor_models.load import LoadedGraph, fails, load_graph
from turnwise.inference.tensor_models.row_batching import BATCH_SIZES, ROWS_SEEN_MIN, Arrays, Shapes, random_arrays

OPEN_SIZE: Final = 8
"""Size with which a dimension without a number is tried; the first, where rows may be batched, with 1."""

TEXT: Final = "The quick brown fox jumps over the lazy dog."
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Pooled:
    """The way from texts to vectors.

    - `pooling`: of the tokens' vectors
    - `normalised`: whether vectors have length 1
    - `dimensions`: of a vector
    - `tokens_max`: of a text
    """

    pooling: str
    normalised: bool
    dimensions: int
    tokens_max: int


@dataclass(frozen=True, slots=True)
class ExaminedGraph:
    """A graph, or an encoder, that loads.

    - `path`: its folder or file
    - `info`: what it is, and what runs it
    - `variants`: names that `variant` may have for the folder
    - `weights_bytes`: size of the graph and its weights
    - `weights`: name of the graph's form
    - `operators`: number of nodes
    - `inputs`, `outputs`: of the graph
    - `batches`: which requests share a run, and why
    - `tried`: shapes of the inputs that were tried; None: the graph refuses random inputs, so nothing is known
    - `numeric_class`: by the checks
    - `checks`: what was tried, and whether the bits were the same
    - `limits`: of a request, for people
    - `pooled`: of an encoder; None for a graph to `infer`
    """

    path: str
    info: ModelInfo
    variants: tuple[str, ...]
    weights_bytes: int
    weights: str
    operators: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batches: str
    tried: Mapping[str, tuple[int, ...]] | None
    numeric_class: NumericClass | None
    checks: Mapping[str, bool]
    limits: tuple[str, ...]
    pooled: Pooled | None


def examine_graph(spec: ModelSpec) -> ExaminedGraph:
    """Load a graph to `infer` and look at it. Raises ModelError for whatever is wrong with it."""
    loaded = load_graph(spec)
    model = loaded.model
    variants = infer_graph(spec.path, spec.variant)[1].variants
    limits = (f"inputs of {INPUT_BYTES_MAX // MIB} MiB and outputs of {OUTPUT_BYTES_MAX // MIB} MiB in a request",)
    try:
        row = example_row(model)
    except Refusal:
        row = None
    return _examined(spec, loaded, variants, row, limits, None)


def examine_encoder(spec: ModelSpec) -> ExaminedGraph:
    """Load an encoder and look at it. Raises ModelError for whatever is wrong with it."""
    loaded = load_embedder(spec)
    folder = read_embed_folder(spec.path, spec.variant)
    row = loaded.embedder.row(TEXT)
    dimensions = len(loaded.embedder.vector(loaded.embedder.model.run(row)))
    pooling = "the graph's own" if loaded.embedder.is_pooled else folder.pooling
    pooled = Pooled(pooling, folder.normalise, dimensions, folder.tokens_max)
    limits = (
        f"texts of {folder.tokens_max:,} tokens (a longer one is refused, or cut off with truncate)",
        f"{TEXTS_COUNT_MAX:,} texts and {TEXT_CHARS_MAX:,} characters in a request",
    )
    return _examined(spec, loaded, folder.graph.variants, row, limits, pooled)


def example_row(model: GraphModel) -> Arrays:
    """Make random inputs: one row where rows may be batched, and `OPEN_SIZE` wherever the graph names no number.

    Raises Refusal if they are larger than those of any request.
    """
    symbol = batch_symbol(model.inputs, model.outputs)

    def size(dim: Dim) -> int:
        return dim if isinstance(dim, int) else 1 if dim == symbol and symbol is not None else OPEN_SIZE

    shapes = tuple(tuple(size(dim) for dim in item.dims) for item in model.inputs)
    return random_arrays(model.inputs, shapes, 1)


def _examined(
    spec: ModelSpec,
    loaded: LoadedGraph | LoadedEmbedder,
    variants: tuple[str, ...],
    row: Arrays | None,
    limits: tuple[str, ...],
    pooled: Pooled | None,
) -> ExaminedGraph:
    found = loaded.found
    try:
        checks = {} if row is None else _checks(spec, loaded, row, found.model.shapes_of(row))
    except RUNTIME_ERRORS as error:
        raise fails(found.path, error) from error
    except MemoryRefused as error:
        raise fails(found.path, error) from error
    except Refusal as refusal:
        checks = {}
        limits += (f"not tried with tensors of {OPEN_SIZE} where it names no size: {refusal.message}",)
    form = form_of(found.graph)
    return ExaminedGraph(
        path=str(spec.path),
        info=loaded.info,
        variants=variants,
        weights_bytes=found.weights_bytes,
        weights=form.weights,
        operators=sum(found.graph.operators.values()),
        inputs=found.model.inputs,
        outputs=found.model.outputs,
        batches=_batches(found.model, checks),
        tried={name: array.shape for name, array in row.items()} if row is not None and checks else None,
        numeric_class=_class(checks),
        checks=checks,
        limits=limits,
        pooled=pooled,
    )


def _checks(spec: ModelSpec, loaded: LoadedGraph | LoadedEmbedder, row: Arrays, shapes: Shapes) -> dict[str, bool]:
    """Try a row again, in a batch, and with another number of threads: are the bits the same? Raises Refusal."""
    found = loaded.found
    alone = _bits(found.model, row)
    checks = {"run = run": _bits(found.model, row) == alone}
    if (equal := found.model.batching.equal(shapes)) is not None:
        checks["alone = in a batch"] = equal
    if found.opened.provider == CPU:
        threads = 2 if found.opened.threads == 1 else 1
        other = open_session(spec, found.path, found.weights_bytes, EngineOptions(), threads, counted=True)
        checks["1 = 2 threads" if threads == 2 else f"1 = {found.opened.threads} threads"] = (
            _bits(GraphModel(other.session, found.path), row) == alone
        )
    return checks


def _bits(model: GraphModel, row: Arrays) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.run(row).items()}


def _class(checks: Mapping[str, bool]) -> NumericClass | None:
    """The numeric class by the checks. Rows that get other bits in a batch run singly, so a batch does not count."""
    if not checks:
        return None
    if not checks["run = run"]:
        return "none"
    return "batch-invariant" if all(holds for name, holds in checks.items() if "batch" not in name) else "plan-bound"


def _batches(model: GraphModel, checks: Mapping[str, bool]) -> str:
    sizes = f"{', '.join(str(size) for size in reversed(BATCH_SIZES[1:]))} or {BATCH_SIZES[0]}"
    equal = checks.get("alone = in a batch")
    if batch_symbol(model.inputs, model.outputs) is None:
        return "each request runs by itself: the first dimension of all inputs and outputs is not one name of its own"
    if equal is None:
        return "each request runs by itself: the graph refuses random rows, so it cannot be tried"
    if not equal:
        return "each request runs by itself: random rows got other bits together than alone"
    same = "random rows got the bits together that they got alone"
    if model.batching.found == "rows tried":
        return (
            f"{sizes} requests of one shape share a run: {same}; each shape is tried when {ROWS_SEEN_MIN} rows had it"
        )
    return f"{sizes} requests of one row share a run: {same}"
