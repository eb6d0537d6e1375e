"""Speed of a graph to `infer`, or of an encoder, on this machine. Times differ from one measurement to the next."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from turnwise.core.canonical import canonical
from turnwise.errors import ModelError
from turnwise.inference.inspect.examine_graph import example_row
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.tensor_models.embedder import Embedder
from turnwise.inference.tensor_models.graph_engine import GraphEngine
from turnwise.inference.tensor_models.graph_model import GraphModel
from turnwise.inference.tensor_models.load import fails
from turnwise.inference.tensor_models.row_batching import BATCH_SIZES

PART_S_MAX: Final = 1.0
RUNS_MIN: Final = 3
RUNS_MAX: Final = 10_000
TEXT_TOKENS: Final = (16, 128)
TEXTS: Final = 32
WORDS: Final = ("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school")


@dataclass(frozen=True, slots=True)
class GraphSpeed:
    """Speed of a graph.

    - `tried`: shapes of the inputs
    - `runs_per_s`: median, by how many rows share a run
    """

    tried: dict[str, tuple[int, ...]]
    runs_per_s: dict[int, float]


@dataclass(frozen=True, slots=True)
class EncoderSpeed:
    """Speed of an encoder, in texts a second by how many tokens each has.

    - `one`: asked for one at a time
    - `many`: `TEXTS` in one request
    """

    one: dict[int, float]
    many: dict[int, float]


def measure_graph(model: GraphModel, path: Path) -> GraphSpeed:
    """Run random inputs, alone and in the batches that the graph allows. Raises ModelError if it refuses them."""
    try:
        row = example_row(model)
        model.run(row)
    except Refusal as refusal:
        raise ModelError(
            "the graph refuses random inputs, so its speed cannot be measured",
            where=str(path),
            actual=refusal.message,
            hint="Dimensions without a number were taken to be 8: it may want others, or inputs that mean something.",
        ) from refusal
    except RUNTIME_ERRORS as error:
        raise fails(path, error) from error
    shapes = model.shapes_of(row)
    sizes = [1, *sorted(BATCH_SIZES)] if model.batching.equal(shapes) else [1]
    speeds = {size: 1 / _median_s(lambda size=size: model.run_rows([row] * size)) for size in sizes}  # type: ignore[misc]
    return GraphSpeed({name: array.shape for name, array in row.items()}, speeds)


def measure_encoder(embedder: Embedder) -> EncoderSpeed:
    """Embed texts of some lengths, as agents ask for them: tokens, graph and pooling."""
    one, many = {}, {}
    for wanted in TEXT_TOKENS:
        tokens, text = _text(embedder, wanted)
        if tokens in one:
            continue
        one[tokens] = 1 / _median_s(lambda text=text: _embed(embedder, [text]))  # type: ignore[misc]
        many[tokens] = TEXTS / _median_s(lambda text=text: _embed(embedder, [text] * TEXTS))  # type: ignore[misc]
    return EncoderSpeed(one, many)


def _text(embedder: Embedder, wanted: int) -> tuple[int, str]:
    """Make a text of about so many tokens; returns how many it has, and the text."""
    words: list[str] = []
    text, tokens = WORDS[0], len(embedder.tokens(WORDS[0], truncate=True))
    while tokens < wanted:
        words.append(WORDS[len(words) % len(WORDS)])
        longer = len(embedder.tokens(" ".join(words)))
        if longer > embedder.tokens_max:
            break
        text, tokens = " ".join(words), longer
    return tokens, text


def _embed(embedder: Embedder, texts: list[str]) -> None:
    engine = GraphEngine(embedder.model)
    engine.submit(embedder.job(EmbedRequest(0, "m", canonical({"texts": texts, "truncate": True}))))
    while engine.pending:
        for answer in engine.step():
            if isinstance(answer, GenerateReply):
                raise ModelError("the model refuses a plain text", actual=answer.body)


def _median_s(run: Callable[[], object]) -> float:
    run()
    times: list[float] = []
    spent = 0.0
    while len(times) < RUNS_MIN or (spent < PART_S_MAX and len(times) < RUNS_MAX):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
        spent += times[-1]
    return statistics.median(times)
