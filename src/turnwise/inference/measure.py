"""How fast a loaded model runs here. Times differ from one measurement to the next: they are for people."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Final

from turnwise.inference.decoder import Decoder

ROWS: Final = (1, 2, 4, 8, 16)
PROMPT_TOKENS_MAX: Final = 256
PAST_TOKENS: Final = 8
STEPS_MIN: Final = 3
STEPS_MAX: Final = 50
PART_S_MAX: Final = 1.0
TOKEN: Final = 1


@dataclass(frozen=True, slots=True)
class Speed:
    """Prompt tokens a second, and milliseconds of a step (median) by how many sequences share it."""

    prompt_tokens: int
    prompt_tokens_per_s: float
    step_ms: dict[int, float]


def measure(decoder: Decoder) -> Speed:
    """Prefill one prompt, then take steps with more and more rows, for about a second each."""
    context = decoder.budget.context_length
    count = max(2, min(PROMPT_TOKENS_MAX, context - 1))
    count -= count % 2
    best = min(_prefill_s(decoder, count) for _ in range(2))
    rows = [rows for rows in ROWS if rows <= decoder.budget.rows_max]
    return Speed(count, count / best, {number: step_ms(decoder, number) for number in rows})


def step_ms(decoder: Decoder, rows: int) -> float:
    """Milliseconds of one step of so many rows (median)."""
    context = decoder.budget.context_length
    past = min(PAST_TOKENS, max(2, context // 2))
    steps = min(STEPS_MAX, context - past - 1)
    decoder.begin(min(context, past + steps + 1))
    decoder.reserve(rows, past + steps + 1)
    for row in range(rows):
        decoder.prefill(row, [TOKEN] * past)
    times: list[float] = []
    while len(times) < steps and (len(times) < STEPS_MIN or sum(times) < PART_S_MAX):
        start = time.perf_counter()
        decoder.decode([TOKEN] * rows)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def _prefill_s(decoder: Decoder, count: int) -> float:
    piece = decoder.chunk_tokens or count
    decoder.begin(count + 1)
    start = time.perf_counter()
    for place in range(0, count, piece):
        decoder.prefill(0, [TOKEN] * min(piece, count - place))
    return time.perf_counter() - start
