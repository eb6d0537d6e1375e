"""Division of a budget of memory into rows, positions and blocks of KV cache. Numbers only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from turnwise.inference.plans.kv_sizes import BLOCK_TOKENS
from turnwise.system.memory import memory_bytes

ROUND_UP_TOKENS: Final = 64
MEMORY_SHARE: Final = 4
"""Default budget: one part in so many of the memory that there is."""

CACHE_SHARE: Final = 8
"""One part in so many of the budget is for prompts that were prefilled before."""

CACHE_CONTEXTS_MAX: Final = 64
"""Most prompts of the model's whole context for which memory is taken."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Room in the KV cache: at most `rows_max` rows and `positions_max` positions in all of them together.

    `rows_spare` of the rows belong to no sequence. `context_length` is the model's, or less where a single row of it
    does not fit. `blocks` are for prompts that were prefilled before, where there is room beside one whole context.
    """

    rows_max: int
    rows_spare: int
    positions_max: int
    context_length: int
    blocks: int


def budget(
    kv_bytes_max: int | None,
    *,
    bytes_per_token: int,
    context_length: int,
    rows_max: int,
    rows_spare: int = 0,
    cached: bool = True,
    row_positions_min: int = 0,
    window_bytes_per_token: int = 0,
    window_row_positions: int = 0,
) -> Budget:
    """Divide `kv_bytes_max` (None: a share of the memory that there is). One position costs `bytes_per_token`.

    A row has at least `row_positions_min` positions. Where layers keep a window, their part of a position's cost,
    `window_bytes_per_token`, is that of `window_row_positions` in each row, however long it is.
    """
    shortest = max(ROUND_UP_TOKENS, -(-row_positions_min // ROUND_UP_TOKENS) * ROUND_UP_TOKENS)
    whole = max(memory_bytes() // MEMORY_SHARE if kv_bytes_max is None else kv_bytes_max, 1)
    blocks = 0
    if cached:
        longest = max(shortest, -(-context_length // ROUND_UP_TOKENS) * ROUND_UP_TOKENS)
        needed = (1 + rows_spare) * longest
        spare = max(0, whole // bytes_per_token - needed)
        tokens = min(whole // CACHE_SHARE // bytes_per_token, CACHE_CONTEXTS_MAX * context_length, spare)
        blocks = tokens // BLOCK_TOKENS
    left = whole - blocks * BLOCK_TOKENS * bytes_per_token
    row_bytes = window_bytes_per_token * window_row_positions
    each = max(1, bytes_per_token - window_bytes_per_token)
    rows_max = max(1, min(rows_max, left // (each * shortest + row_bytes) - rows_spare))
    positions = max((left - (rows_max + rows_spare) * row_bytes) // each, (1 + rows_spare) * shortest)
    room = positions // (1 + rows_spare) // ROUND_UP_TOKENS * ROUND_UP_TOKENS
    return Budget(rows_max, rows_spare, positions, min(context_length, room), blocks)
