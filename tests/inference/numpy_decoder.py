"""The plain answer of the small models in `layouts_toy`: numpy, in one whole pass, no cache, no batch.

It shares the random weights with the writer of the graphs, and no operator: what a runtime says of such a model is held
against it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.inference.forms_toy import CONTEXT_LENGTH, Form
from tests.inference.layouts_toy import FORMS, HEAD_SIZE, HEADS, HIDDEN, KV_HEADS, LAYERS, bias

Array = NDArray[np.float64]
SEED = 0


def likeliest(layout: str, prompt: Sequence[int], answer: Sequence[int], vocabulary: int) -> list[int]:
    """The likeliest token in each place of the answer, after the prompt and what comes before in the answer.

    An answer that was chosen greedily is equal to it. For layouts of full precision.
    """
    found = logits(FORMS[layout], [*prompt, *answer], vocabulary)
    return [int(row.argmax()) for row in found[len(prompt) - 1 : -1]]


def logits(form: Form, tokens: Sequence[int], vocabulary: int) -> Array:
    """[tokens, vocabulary]."""
    x = _table("embedding", vocabulary)[tokens]
    if form.positions or form.attention != "grouped":
        x = x + _table("places", CONTEXT_LENGTH)[: len(tokens)]
    for layer in range(LAYERS):
        x = x + _attended(form, _norm(x), layer) @ _weights(f"o{layer}", HEADS * HEAD_SIZE, HIDDEN)
        inner = np.maximum(_norm(x) @ _weights(f"up{layer}", HIDDEN, 2 * HIDDEN), 0)
        x = x + inner @ _weights(f"down{layer}", 2 * HIDDEN, HIDDEN)
    return _norm(x) @ _weights("head", HIDDEN, vocabulary) + bias(vocabulary)


def _attended(form: Form, x: Array, layer: int) -> Array:
    kv_heads = HEADS if form.attention == "multihead" else KV_HEADS
    count = len(x)
    q, k, v = (
        (x @ _weights(f"{part}{layer}", HIDDEN, heads * HEAD_SIZE)).reshape(count, heads, HEAD_SIZE)
        for part, heads in (("q", HEADS), ("k", kv_heads), ("v", kv_heads))
    )
    future = np.triu(np.ones((count, count), bool), 1)
    mixed = []
    for head in range(HEADS):
        of = head * kv_heads // HEADS
        scores = np.where(future, -np.inf, q[:, head] @ k[:, of].T / HEAD_SIZE**0.5)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        mixed.append(weights / weights.sum(axis=1, keepdims=True) @ v[:, of])
    return np.concatenate(mixed, axis=1)


def _norm(x: Array) -> Array:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng([SEED, *name.encode()])


@functools.cache
def _table(name: str, rows: int) -> Array:
    return (_random(name).standard_normal((rows, HIDDEN)) * 0.5).astype(np.float32).astype(np.float64)


@functools.cache
def _weights(name: str, rows: int, columns: int) -> Array:
    return (_random(name).standard_normal((rows, columns)) / rows**0.5).astype(np.float32).astype(np.float64)
