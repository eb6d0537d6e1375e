"""Comparison of a provider with the CPU: a model runs elsewhere only after the two have agreed.

The same tokens run on both: a prompt whole and in pieces, steps behind it, and a batch where sequences are batched.
Logits may differ as much as the types of numbers explain. What that does not explain (bytes that never reached the
device, a kernel that a driver runs wrongly, numbers that are none) is far off: unrelated logits differ by about 1.4
times their spread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.decoding.self_test import token_of
from turnwise.inference.plans.batching import is_equal

PROMPT_TOKENS: Final = 70
PIECE_TOKENS: Final = 33
STEPS: Final = 4
ROWS: Final = 3
TOP_TOLERANCES: Final = 4
"""Number of tolerances by which the likeliest token may lie below the reference's."""


def difference(decoder: Decoder, reference: Decoder, vocabulary: int, tolerance: float) -> str | None:
    """Describe how a decoder differs from the reference; None if they agree."""
    context = min(decoder.budget.context_length, reference.budget.context_length)
    for what, ours, theirs in _trials(decoder, reference, vocabulary, context):
        if seen := _apart(ours, theirs, tolerance):
            return f"answers otherwise than the cpu: {what}, {seen}"
    return None


def _trials(
    decoder: Decoder, reference: Decoder, vocabulary: int, context: int
) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    def prompt(row: int, length: int) -> list[int]:
        return [token_of(vocabulary, row, place) for place in range(length)]

    length = max(1, min(PROMPT_TOKENS, context - STEPS))
    both = (decoder, reference)

    def run(pieces: Sequence[Sequence[int]]) -> tuple[NDArray[Any], NDArray[Any]]:
        found = []
        for one in both:
            one.begin(min(context, length + STEPS))
            for piece in pieces:
                start = 0
                for size in one.prompts.cut(len(piece)):
                    logits = one.prefill(0, piece[start : start + size], length)
                    start += size
            found.append(logits.copy())
        return found[0], found[1]

    tokens = prompt(0, length)
    yield f"after a prompt of {length} tokens", *run([tokens])
    if decoder.chunk_tokens is not None and reference.chunk_tokens is not None and length > PIECE_TOKENS + 1:
        yield f"after a prompt in pieces of {PIECE_TOKENS}", *run([tokens[:PIECE_TOKENS], tokens[PIECE_TOKENS:]])
    for step in range(min(STEPS, context - length)):
        token = token_of(vocabulary, 0, length + step)
        ours, theirs = (one.decode([token])[0].copy() for one in both)
        yield f"in step {step + 1}", ours, theirs
    yield from _batch(decoder, reference, prompt, context)


def _batch(decoder: Decoder, reference: Decoder, prompt: Any, context: int) -> Iterator[tuple[str, Any, Any]]:
    """Run one step of several rows, each of which has a prompt of its own."""
    rows = min(ROWS, decoder.budget.rows_max, reference.budget.rows_max)
    if rows < 2 or context < 2 * ROWS + 2:
        return
    equal = is_equal(decoder.batching) or is_equal(reference.batching)
    found = []
    for one in (decoder, reference):
        one.begin(2 * ROWS + 2)
        one.reserve(rows, 2 * ROWS + 2)
        for row in range(rows):
            one.prefill(row, prompt(row + 1, 3 if equal else 2 * row + 2))
        found.append([logits.copy() for logits in one.decode([prompt(row, 1)[0] for row in range(rows)])])
    for row, (ours, theirs) in enumerate(zip(*found, strict=True)):
        yield f"in row {row + 1} of a batch of {rows}", ours, theirs


def _apart(ours: NDArray[Any], theirs: NDArray[Any], tolerance: float) -> str | None:
    """Describe how two lots of logits are further apart than they may be."""
    first, second = ours.astype(np.float64), theirs.astype(np.float64)
    if not np.isfinite(first.max()) or np.isnan(first).any():
        return "logits are not numbers"
    usable = np.isfinite(first) & np.isfinite(second)
    spread = float(second[usable].std()) or 1.0
    apart = float(np.sqrt(np.mean((first[usable] - second[usable]) ** 2))) / spread
    if apart > tolerance:
        return f"logits differ by {apart:.2g} of their spread, and {tolerance:.2g} may be"
    below = float(second.max() - second[int(first.argmax())]) / spread
    if below > TOP_TOLERANCES * tolerance:
        return f"the likeliest token is another, {below:.2g} of the spread below"
    return None
