"""Speed of a loaded language model on this machine. Times differ from one measurement to the next."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Final

from turnwise.inference.decoding.decoder import Decoder

ROWS: Final = (1, 2, 4, 8, 16)
PROMPT_TOKENS_MAX: Final = 256
PAST_TOKENS: Final = 8
ROUNDS: Final = 3
STEPS_MIN: Final = 3
STEPS_MAX: Final = 50
PART_S_MAX: Final = 1.0
TOKEN: Final = 1


@dataclass(frozen=True, slots=True)
class DecoderSpeed:
    """Speed of a decoder.

    - `prompt_tokens`: of the prompt that was measured
    - `prompt_tokens_per_s`: the best of two
    - `step_ms`: of a step (median), by how many sequences share it
    """

    prompt_tokens: int
    prompt_tokens_per_s: float
    step_ms: dict[int, float]


def measure(decoder: Decoder) -> DecoderSpeed:
    """Prefill one prompt, then take steps with more and more rows, for about a second each."""
    context = decoder.budget.context_length
    count = max(2, min(PROMPT_TOKENS_MAX, context - 1))
    count -= count % 2
    best = min(_prefill_s(decoder, count) for _ in range(2))
    rows = [rows for rows in ROWS if rows <= decoder.budget.rows_max]
    return DecoderSpeed(count, count / best, {number: step_ms(decoder, number) for number in rows})


@dataclass(frozen=True, slots=True)
class Ratio:
    """Speed of another decoder as a multiple of one's, with prompts and with steps of one sequence (medians)."""

    prompt: float
    step: float


def compare(decoder: Decoder, other: Decoder) -> Ratio:
    """Measure two decoders alternately, so that what else the machine does hits both."""
    context = min(decoder.budget.context_length, other.budget.context_length)
    count = max(2, min(PROMPT_TOKENS_MAX, context - 1)) // 2 * 2
    prompts = [(_prefill_s(decoder, count), _prefill_s(other, count)) for _ in range(ROUNDS + 1)]
    _begin_steps(decoder, 1)
    _begin_steps(other, 1)
    steps: list[tuple[float, float]] = []
    while len(steps) < _steps_max(context) and (len(steps) < STEPS_MIN or sum(map(sum, steps)) < 2 * PART_S_MAX):
        steps.append((_step_s(decoder, 1), _step_s(other, 1)))
    return Ratio(_ratio(prompts[1:]), _ratio(steps))


def _ratio(times: list[tuple[float, float]]) -> float:
    return statistics.median(first for first, _ in times) / statistics.median(second for _, second in times)


def step_ms(decoder: Decoder, rows: int) -> float:
    """Measure one step of so many rows: milliseconds (median)."""
    _begin_steps(decoder, rows)
    times: list[float] = []
    most = _steps_max(decoder.budget.context_length)
    while len(times) < most and (len(times) < STEPS_MIN or sum(times) < PART_S_MAX):
        times.append(_step_s(decoder, rows))
    return statistics.median(times) * 1000


def _past(context: int) -> int:
    return min(PAST_TOKENS, max(2, context // 2))


def _steps_max(context: int) -> int:
    return min(STEPS_MAX, context - _past(context) - 1)


def _begin_steps(decoder: Decoder, rows: int) -> None:
    context = decoder.budget.context_length
    past = _past(context)
    room = past + _steps_max(context) + 1
    decoder.begin(min(context, room))
    decoder.reserve(rows, room)
    for row in range(rows):
        decoder.prefill(row, [TOKEN] * past)


def _step_s(decoder: Decoder, rows: int) -> float:
    start = time.perf_counter()
    decoder.decode([TOKEN] * rows)
    return time.perf_counter() - start


def _prefill_s(decoder: Decoder, count: int) -> float:
    piece = decoder.chunk_tokens or count
    decoder.begin(count + 1)
    start = time.perf_counter()
    for place in range(0, count, piece):
        decoder.prefill(0, [TOKEN] * min(piece, count - place))
    return time.perf_counter() - start
