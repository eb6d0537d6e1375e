"""Units in which KV cache is counted: the positions of a row, and the tokens of a block of kept prompts."""

from __future__ import annotations

from typing import Final

BLOCK_TOKENS: Final = 32
"""Tokens of one block of a prompt that is kept for others that begin alike."""

ROW_POSITIONS_MIN: Final = 64

WINDOW_SPARE_TOKENS: Final = 128
"""Positions of a row beyond the window it keeps: the more, the more seldom what is kept is moved to its beginning."""


def window_row_positions(window: int) -> int:
    """Positions of a row that keeps a window of tokens alone. Where they lie in it shows in the bits."""
    return -(-(window + WINDOW_SPARE_TOKENS) // ROW_POSITIONS_MIN) * ROW_POSITIONS_MIN


def row_positions(capacity: int, positions_max: int | None = None) -> int:
    """Positions of a row for a sequence that needs `capacity`: of few sizes, so that rows seldom change theirs.

    Powers of two from `ROW_POSITIONS_MIN`; no row needs to be longer than `positions_max`, rounded up.
    """
    size = ROW_POSITIONS_MIN
    while size < capacity:
        size *= 2
    if positions_max is not None:
        size = min(size, -(-max(positions_max, capacity) // ROW_POSITIONS_MIN) * ROW_POSITIONS_MIN)
    return size
