"""Text to vectors: tokens, one run of the graph for each text, and pooling by the model's own configuration.

A text is one row without padding, so that its vector depends on nothing but itself. Pooling is done in float64, sums
are rounded once (`math.fsum`), and the result is rounded to float32: the same on every machine, given the graph's
outputs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from turnwise.errors import ModelError
from turnwise.inference.folders.embedding_folder import EmbedFolder, read_embed_folder
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, first_line
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.embed_request import EmbedRequest, parse_embed
from turnwise.inference.requests.parcels import Parcel
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import OUTPUT_BYTES_MAX
from turnwise.inference.tensor_models.graph_model import GraphModel
from turnwise.inference.tensor_models.inputs_outputs import TensorSpec
from turnwise.inference.tensor_models.load import OpenGraph, graph_info, open_graph
from turnwise.inference.tensor_models.row_batching import Arrays
from turnwise.inference.tensor_models.tensor_arrays import tensor_over
from turnwise.inference.text.text_encoder import TextEncoder
from turnwise.inference.text.tokenizer import read_library_tokenizer

_TRY_ERRORS: Final[tuple[type[Exception], ...]] = (Refusal, *RUNTIME_ERRORS)
_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_TOKEN_OUTPUTS: Final = ("last_hidden_state", "token_embeddings")
_TEXT_OUTPUTS: Final = ("sentence_embedding", "sentence_embeddings", "pooler_output")


class Embedder:
    """A loaded embedding model: makes jobs for its graph, and vectors from the graph's outputs."""

    def __init__(self, folder: EmbedFolder, model: GraphModel, graph_path: Path) -> None:
        self.model = model
        self._folder = folder
        self._encoder = TextEncoder(*read_library_tokenizer(folder.tokenizer))
        self._where = str(graph_path)
        self._check_inputs()
        self._output, self._pooled = self._choose_output()

    @property
    def is_pooled(self) -> bool:
        """True if the graph gives one vector for a text by itself."""
        return self._pooled

    @property
    def tokens_max(self) -> int:
        """Tokens of the longest text."""
        return self._folder.tokens_max

    def job(self, request: EmbedRequest) -> EmbedJob:
        """Make the job of a request. Raises Refusal."""
        asked = parse_embed(request.body)
        rows = [self.row(text, index, truncate=asked.truncate) for index, text in enumerate(asked.texts)]
        return EmbedJob(request.id, rows, self, counted=request.counted)

    def tokens(self, text: str, *, truncate: bool = False) -> list[int]:
        """Encode a text, with the model's special tokens."""
        found = self._encoder.encode(
            text.lower() if self._folder.lower else text,
            special=True,
            tokens_max=self._folder.tokens_max if truncate else None,
        )
        return list(found.ids)

    def watch(self, progress: Callable[[], None]) -> None:
        """Call `progress` before each text that is encoded."""
        self._encoder.watch(progress)

    def vector(self, outputs: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Make the vector [d] of one text from the graph's outputs. Raises Refusal if there is none."""
        array = outputs[self._output]
        if array.ndim != (2 if self._pooled else 3) or array.shape[0] != 1 or not array.size:
            raise Refusal("refused", f"the model's graph gives {self._output!r} of shape {list(array.shape)}")
        found = array[0].astype(np.float64)
        vector = found if self._pooled else self._pool(found)
        if self._folder.normalise:
            norm = math.sqrt(math.fsum((vector * vector).tolist()))
            vector = vector / max(norm, 1e-12)
        return vector.astype(np.float32)

    def _pool(self, tokens: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pool [tokens, d] to [d]. There is no padding, so every token counts."""
        pooling = self._folder.pooling
        pooled: NDArray[np.float64]
        if pooling == "mean":
            pooled = np.array([math.fsum(column) for column in tokens.T.tolist()]) / len(tokens)
        elif pooling == "max":
            pooled = tokens.max(axis=0)
        else:
            pooled = tokens[0 if pooling == "cls" else -1]
        return pooled

    def row(self, text: str, index: int = 0, *, truncate: bool = False) -> Arrays:
        """Make the graph's inputs for a text; `index` is its place in the request. Raises Refusal."""
        self._encoder.check_size(text, f"texts[{index}]")
        ids = self.tokens(text, truncate=truncate)
        limit = self._folder.tokens_max
        if len(ids) > limit:
            message = f"texts[{index}] has {len(ids)} tokens, the model takes {limit}: shorten it, or say truncate"
            raise Refusal("context_full", message)
        if not ids:
            raise Refusal("refused", f"texts[{index}] has no tokens")
        count = len(ids)
        values = {
            "input_ids": np.array([ids]),
            "attention_mask": np.ones((1, count)),
            "token_type_ids": np.zeros((1, count)),
            "position_ids": np.arange(count)[np.newaxis],
        }
        return {spec.name: np.ascontiguousarray(values[spec.name], np.dtype(spec.dtype)) for spec in self.model.inputs}

    def try_out(self) -> None:
        """Embed one text, so that a graph that cannot work fails now. Raises ModelError."""
        try:
            vector = self.vector(self.model.run(self.row("a", truncate=True)))
        except _TRY_ERRORS as error:
            raise ModelError(
                f"the graph fails on its first text: {first_line(error)}",
                where=self._where,
                expected="a vector",
                hint="The graph is damaged, or not an encoder of text.",
            ) from error
        if not np.isfinite(vector).all():
            raise ModelError("gives vectors that are not numbers", where=self._where, expected="finite numbers")

    def _check_inputs(self) -> None:
        names = [spec.name for spec in self.model.inputs]
        unknown = sorted(set(names) - set(_INPUTS))
        if "input_ids" not in names or unknown:
            raise ModelError(
                f"the graph takes {', '.join(names) or 'nothing'}",
                where=self._where,
                expected=_INPUTS,
                actual=names,
                hint="An embedding model takes input_ids and may take the others; ask any other graph by infer.",
            )
        for spec in self.model.inputs:
            if spec.dtype not in ("int64", "int32"):
                raise ModelError(
                    f"the input {spec.name!r} is {spec.dtype}", where=self._where, expected="int64 or int32"
                )

    def _choose_output(self) -> tuple[str, bool]:
        """Choose the output that is the tokens' vectors, or, where there is none, the text's own (True)."""
        outputs = {spec.name: spec for spec in self.model.outputs if spec.dtype in ("float16", "float32", "float64")}
        for name in (*_TOKEN_OUTPUTS, *outputs):
            if name in outputs and _rank(outputs[name]) == 3:
                return name, False
        for name in (*_TEXT_OUTPUTS, *outputs):
            if name in outputs and _rank(outputs[name]) == 2:
                return name, True
        raise ModelError(
            "the graph has no output that is a vector for each token",
            where=self._where,
            expected="last_hidden_state [batch, tokens, dimensions]",
            actual={spec.name: str(spec) for spec in self.model.outputs},
            hint="Export the encoder itself, without a head for another task.",
        )


class EmbedJob:
    """A request to embed texts: a row for each, and their vectors as they come."""

    def __init__(self, number: int, rows: Sequence[Arrays], embedder: Embedder, *, counted: bool = False) -> None:
        self.number = number
        self.inputs: Sequence[Arrays] = rows
        self._embedder = embedder
        self._vectors: dict[int, NDArray[np.float32]] = {}
        self._counts = [row["input_ids"].shape[1] for row in rows] if counted else None

    def take(self, index: int, outputs: dict[str, NDArray[Any]]) -> None:
        vector = self._vectors[index] = self._embedder.vector(outputs)
        if vector.nbytes * len(self.inputs) > OUTPUT_BYTES_MAX:
            raise Refusal("refused", f"the vectors have more than {OUTPUT_BYTES_MAX:,} bytes in all: ask for fewer")

    def answer(self) -> Parcel:
        vectors = np.stack([self._vectors[index] for index in range(len(self.inputs))])
        tensors = {"vectors": tensor_over(vectors)}
        if self._counts is not None:
            tensors["tokens"] = tensor_over(np.array(self._counts, np.int64))
        return Parcel(self.number, "vectors", tensors)

    def close(self) -> None:
        self.inputs = ()


@dataclass(frozen=True, slots=True)
class LoadedEmbedder:
    """A model that answers `embed`.

    - `info`: what is told of it
    - `embedder`: texts to vectors
    - `found`: the open graph
    """

    info: ModelInfo
    embedder: Embedder
    found: OpenGraph


def load_embedder(spec: ModelSpec, options: EngineOptions | None = None) -> LoadedEmbedder:
    """Load an embedding model. Raises ModelError for whatever is wrong with it."""
    started = time.monotonic()
    folder = read_embed_folder(spec.path, spec.variant)
    found = open_graph(folder.files, folder.graph.name, spec, options or EngineOptions())
    embedder = Embedder(folder, found.model, found.path)
    embedder.try_out()
    form = f"embed, {folder.pooling}{', normalised' if folder.normalise else ''}, {found.model.batching.found}"
    load_ms = (time.monotonic() - started) * 1000
    info = graph_info(spec, "embed", found, form, folder.graph.variant, load_ms)
    return LoadedEmbedder(info, embedder, found)


def _rank(spec: TensorSpec) -> int:
    return len(spec.dims)
