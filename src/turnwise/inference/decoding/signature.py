"""Inputs and outputs of a decoder's graph, checked against what the folder says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from turnwise.errors import ModelError
from turnwise.inference.decoding.slab import KvShape
from turnwise.inference.folders.model_folder import ModelFolder
from turnwise.inference.onnx.gather_logits import POSITIONS_INPUT
from turnwise.inference.onnx.runtime import Session
from turnwise.inference.onnx.wide_logits import WIDE_LOGITS

_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
}
_INDEXES: Final[dict[str, np.dtype[Any]]] = {"tensor(int64)": np.dtype(np.int64), "tensor(int32)": np.dtype(np.int32)}


KEPT_INPUTS: Final = frozenset({"num_logits_to_keep", "logits_to_keep"})
"""Of how many last tokens exports by transformers give logits; 0 means all, and which are wanted is decided here."""


BRANCH_INPUT: Final = "use_cache_branch"
"""bool [1] of graphs that Optimum merges of one without a past and one with it: which of them is wanted."""


class Signature:
    """Inputs and outputs of the graph, checked by name, type and shape. Raises ModelError if they do not fit.

    `positions`: logits are given for wanted positions only. `branch`: the graph has one branch for the beginning of a
    sequence, and one for what follows. `constants` are inputs that never change.
    """

    def __init__(self, folder: ModelFolder, session: Session) -> None:
        self._where = str(folder.layout.graph_path)
        self._config = folder.layout.config_path.name
        given = {item.name: item for item in session.get_inputs()}
        results = {item.name: item for item in session.get_outputs()}
        names = folder.layout.names
        layers = range(folder.layout.layers)
        past = [name.replace("%d", str(layer)) for layer in layers for name in (names.past_key, names.past_value)]
        present = [
            name.replace("%d", str(layer)) for layer in layers for name in (names.present_key, names.present_value)
        ]
        optional = {names.attention_mask, names.position_ids}
        self._missing("input", {names.input_ids, *past} - given.keys())
        self.logits_name = WIDE_LOGITS if WIDE_LOGITS in results else names.logits
        self._missing("output", {self.logits_name, *present} - results.keys())
        unknown = sorted(
            given.keys() - {names.input_ids, *past, POSITIONS_INPUT, BRANCH_INPUT} - optional - KEPT_INPUTS
        )
        self.positions = POSITIONS_INPUT in given
        self.branch = BRANCH_INPUT in given
        if unknown:
            raise ModelError(
                f"the graph has the unknown input {unknown[0]!r}"
                + (f" and {len(unknown) - 1} more" * (len(unknown) > 1)),
                where=self._where,
                expected=[*sorted({names.input_ids, *optional}), "the KV cache of each layer"],
                actual=unknown,
                hint="Only decoders are supported that take tokens, and a KV cache as the model's convention names it.",
            )
        self.inputs = given.keys() & optional
        self.constants = {
            name: np.zeros([1] * len(given[name].shape), np.int64) for name in sorted(given.keys() & KEPT_INPUTS)
        }
        index = {given[name].type for name in {names.input_ids, *self.inputs}}
        if len(index) != 1 or not index <= _INDEXES.keys():
            self._type(names.input_ids, sorted(index), sorted(_INDEXES))
        self.index = _INDEXES[index.pop()]
        if self.branch and given[BRANCH_INPUT].type != "tensor(bool)":
            self._type(BRANCH_INPUT, [given[BRANCH_INPUT].type], ["tensor(bool)"])
        self.logits = self._dtype(names.logits, results[self.logits_name].type)
        kinds = {self._dtype(name, given[name].type) for name in past}
        kinds |= {self._dtype(name, results[name].type) for name in present}
        if len(kinds) != 1:
            self._type(past[0], sorted(str(kind) for kind in kinds), ["one type for the whole KV cache"])
        for name in past:
            self._shape(name, given[name].shape, (None, folder.layout.kv_heads, None, folder.layout.head_size))
        for name in present:
            self._shape(name, results[name].shape, (None, folder.layout.kv_heads, None, folder.layout.head_size))
        self._shape(names.logits, results[self.logits_name].shape, (None, None, folder.layout.vocabulary_size))
        self.kv = KvShape(tuple(past), tuple(present), folder.layout.kv_heads, folder.layout.head_size, kinds.pop())

    def _missing(self, kind: str, names: set[str]) -> None:
        if names:
            first = min(names)
            raise ModelError(
                f"the graph has no {kind} {first!r}",
                where=self._where,
                expected=sorted(names),
                hint=f"{self._config} and the graph do not belong together: copy both again.",
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
                f"{name!r} has shape {list(actual)}, {self._config} says "
                f"{['any' if want is None else want for want in expected]}",
                where=self._where,
                expected=expected,
                actual=tuple(actual),
                hint=f"Vocabulary, head size or number of heads in {self._config} does not fit the graph.",
            )
