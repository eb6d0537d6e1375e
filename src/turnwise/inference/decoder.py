"""A language model's graph, run: token ids in, logits of the last position out.

What is run when is decided by the scheduler; here is only how.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from turnwise.errors import InvariantError, ModelError
from turnwise.inference.kv import GrowingKv, InPlaceKv, Kv, KvShape
from turnwise.inference.model_folder import ModelFolder
from turnwise.inference.providers import CPU, CUDA, Opened
from turnwise.inference.runtime import Session

GROUP_QUERY_ATTENTION: Final = "com.microsoft:GroupQueryAttention"
ATTENTIONS: Final = frozenset(
    {GROUP_QUERY_ATTENTION, "com.microsoft:MultiHeadAttention", "com.microsoft:Attention", "Attention"}
)
CHUNK_TOKENS: Final = 128

_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
}
_INDEXES: Final[dict[str, np.dtype[Any]]] = {"tensor(int64)": np.dtype(np.int64), "tensor(int32)": np.dtype(np.int32)}


class Decoder:
    """A loaded graph with the KV cache of one sequence. Not thread-safe.

    `chunk_tokens` is how many prompt tokens a run may take, or None if the graph takes a prompt only in one piece
    (MultiHeadAttention refuses more than one new token onto a past).
    """

    def __init__(self, folder: ModelFolder, opened: Opened) -> None:
        """Check the graph's inputs and outputs against genai_config.json. Raises ModelError if they do not fit."""
        self._session = opened.session
        self._binding = opened.session.io_binding()
        self._vocabulary = folder.vocabulary_size
        self._context_length = folder.context_length
        signature = _Signature(folder, opened.session)
        self._names = folder.names
        self._index = signature.index
        self._inputs = signature.inputs
        self._logits_dtype = signature.logits
        self.kv = signature.kv
        attentions = {name for name in folder.graph.operators if name in ATTENTIONS}
        in_place = attentions == {GROUP_QUERY_ATTENTION}
        # Memory of other accelerators is not addressed from here: ONNX Runtime copies for them.
        self._device = "cuda" if opened.provider == CUDA else "cpu"
        self._copied = opened.provider not in (CPU, CUDA)
        self._kv: Kv = (InPlaceKv if in_place and not self._copied else GrowingKv)(self.kv, self._device)
        self.chunk_tokens = CHUNK_TOKENS if in_place else None
        self.form = f"{'in_place' if in_place and not self._copied else 'growing'} {self.kv.dtype}"
        self._ones = np.ones(0, self._index)
        self._logits = np.empty(0, self._logits_dtype)
        self._length = 0

    def begin(self, capacity: int) -> None:
        """Start a sequence that will hold at most `capacity` positions."""
        if not 1 <= capacity <= self._context_length:
            raise InvariantError(f"a sequence of {capacity} tokens in a context of {self._context_length}")
        self._kv.begin(capacity)
        self._length = 0
        if capacity > len(self._ones):
            self._ones = np.ones(min(2 * capacity, self._context_length), self._index)

    def run(self, ids: Sequence[int]) -> NDArray[Any]:
        """Append tokens; the logits of the last one (shape [vocabulary]), valid until the next run."""
        new, past = len(ids), self._length
        binding, names = self._binding, self._names
        tokens = np.array([ids], self._index)
        self._bind(names.input_ids, tokens, (1, new))
        if names.attention_mask in self._inputs:
            self._bind(names.attention_mask, self._ones, (1, past + new))
        if names.position_ids in self._inputs:
            positions = np.arange(past, past + new, dtype=self._index)
            self._bind(names.position_ids, positions, (1, new))
        wanted = new * self._vocabulary
        if wanted > len(self._logits):
            self._logits = np.empty(wanted, self._logits_dtype)
        shape = (1, new, self._vocabulary)
        binding.bind_output(names.logits, "cpu", 0, self._logits_dtype, shape, self._logits.ctypes.data)
        self._kv.bind(binding, past, new)
        self._session.run_with_iobinding(binding)
        self._length += new
        return self._logits[wanted - self._vocabulary : wanted]

    def _bind(self, name: str, array: NDArray[Any], shape: tuple[int, int]) -> None:
        self._binding.bind_input(name, "cpu", 0, self._index, shape, array.ctypes.data)


class _Signature:
    """Inputs and outputs of the graph, checked by name, type and shape."""

    def __init__(self, folder: ModelFolder, session: Session) -> None:
        self._where = str(folder.graph_path)
        given = {item.name: item for item in session.get_inputs()}
        results = {item.name: item for item in session.get_outputs()}
        names = folder.names
        layers = range(folder.layers)
        past = [name.replace("%d", str(layer)) for layer in layers for name in (names.past_key, names.past_value)]
        present = [
            name.replace("%d", str(layer)) for layer in layers for name in (names.present_key, names.present_value)
        ]
        optional = {names.attention_mask, names.position_ids}
        self._missing("input", {names.input_ids, *past} - given.keys())
        self._missing("output", {names.logits, *present} - results.keys())
        unknown = sorted(given.keys() - {names.input_ids, *past} - optional)
        if unknown:
            raise ModelError(
                f"the graph has the unknown input {unknown[0]!r}"
                + (f" and {len(unknown) - 1} more" * (len(unknown) > 1)),
                where=self._where,
                expected=[*sorted({names.input_ids, *optional}), "the KV cache of each layer"],
                actual=unknown,
                hint="Only decoders are supported whose inputs stand in genai_config.json under model.decoder.inputs.",
            )
        self.inputs = given.keys() & optional
        index = {given[name].type for name in {names.input_ids, *self.inputs}}
        if len(index) != 1 or not index <= _INDEXES.keys():
            self._type(names.input_ids, sorted(index), sorted(_INDEXES))
        self.index = _INDEXES[index.pop()]
        self.logits = self._dtype(names.logits, results[names.logits].type)
        kinds = {self._dtype(name, given[name].type) for name in past}
        kinds |= {self._dtype(name, results[name].type) for name in present}
        if len(kinds) != 1:
            self._type(past[0], sorted(str(kind) for kind in kinds), ["one type for the whole KV cache"])
        for name in past:
            self._shape(name, given[name].shape, (None, folder.kv_heads, None, folder.head_size))
        for name in present:
            self._shape(name, results[name].shape, (None, folder.kv_heads, None, folder.head_size))
        self._shape(names.logits, results[names.logits].shape, (None, None, folder.vocabulary_size))
        self.kv = KvShape(tuple(past), tuple(present), folder.kv_heads, folder.head_size, kinds.pop())

    def _missing(self, kind: str, names: set[str]) -> None:
        if names:
            first = min(names)
            raise ModelError(
                f"the graph has no {kind} {first!r}",
                where=self._where,
                expected=sorted(names),
                hint="genai_config.json (model.decoder) and model.onnx do not belong together: copy both again.",
            )

    def _dtype(self, name: str, kind: str) -> np.dtype[Any]:
        if kind not in _DTYPES:
            self._type(name, [kind], sorted(_DTYPES))
        return _DTYPES[kind]

    def _type(self, name: str, actual: list[str], expected: list[str]) -> None:
        raise ModelError(
            f"{name!r} has type {', '.join(actual)}",
            where=self._where,
            expected=expected,
            actual=actual,
            hint=f"Supported: {', '.join(expected)}. Build the model in fp32, fp16 or int4.",
        )

    def _shape(self, name: str, actual: Sequence[Any], expected: tuple[int | None, ...]) -> None:
        """Dimensions that the graph leaves open (symbolic) or we do not care about fit anything."""
        fits = len(actual) == len(expected) and all(
            want is None or not isinstance(have, int) or have == want
            for have, want in zip(actual, expected, strict=True)
        )
        if not fits:
            raise ModelError(
                f"{name!r} has shape {list(actual)}, genai_config.json says "
                f"{['any' if want is None else want for want in expected]}",
                where=self._where,
                expected=expected,
                actual=tuple(actual),
                hint="vocab_size, head_size or num_key_value_heads of genai_config.json does not fit model.onnx.",
            )
