"""Rules by which rows share a step, so that a sequence gets the same bits in every batch."""

from __future__ import annotations

from typing import Final, Literal

Batching = Literal["free", "even", "equal", "equal-even", "single"]
"""`free`: any rows. `even`: an even number, at least two. `equal`: rows of equally long sequences. `equal-even`: both.
`single`: each row by itself."""

PREFILL_TOKENS_MAX_DEFAULT: Final = 512
PREFILL_TOKENS_MAX_EQUAL: Final = 16 * 512


def for_cache(batching: Batching, growing: bool) -> Batching:
    """Return the batching that does the same for a cache of this kind: rows of one that grows must be equally long."""
    if growing and batching in ("free", "even"):
        return "equal" if batching == "free" else "equal-even"
    return batching


def is_even(batching: Batching) -> bool:
    """Return True if an odd number of rows or of prompt tokens is run as one more."""
    return batching in ("even", "equal-even")


def is_equal(batching: Batching) -> bool:
    """Return True if only sequences of equal length run together."""
    return batching in ("equal", "equal-even")


def prefill_tokens_max(batching: Batching) -> int:
    """Prompt tokens that may be run between two decode steps.

    Where only equally long sequences share a step, prompts go first: who is prefilled later has to catch up.
    """
    return PREFILL_TOKENS_MAX_EQUAL if is_equal(batching) else PREFILL_TOKENS_MAX_DEFAULT
