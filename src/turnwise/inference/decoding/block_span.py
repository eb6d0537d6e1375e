"""A span of KV cache that lies in a block: what the index of prefixes finds, and what is copied. Numbers only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlockSpan:
    """KV of `count` tokens from position `start` on, at the beginning of block `block`."""

    block: int
    start: int
    count: int
