"""Batch plans: the numbers that, with the requests of a wave and their order, decide what runs beside what.

A model of class `plan-bound` gives the same bits for the same batches only. The engine's steps are a function of the
wave's requests and of these numbers, so equal plans make equal batches, on a machine of any size that has the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

import msgspec

from turnwise.core.canonical import canonical
from turnwise.inference.plans.batching import Batching, is_even
from turnwise.inference.plans.kv_sizes import BLOCK_TOKENS, row_positions

WAVE_POSITIONS_MAX: Final = 32_768
"""Positions of KV cache that waves share, if the model's context is no longer. More would make waves differ between
machines that have it and machines that have not."""

WAVE_BLOCKS_MAX: Final = 1_024
"""Blocks of kept prompts in a wave, for the same reason."""

CHUNK_TOKENS_MIN: Final = 3
"""Shorter chunks could leave a tail of one token."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Numbers that bound what an engine runs at once: of a machine, or of a wave.

    - `batching`: how rows may share a step
    - `blocks`: of KV cache, for prompts that were prefilled before in the wave
    - `chunk_tokens`: of a prompt that run at once; None: prompts run whole
    - `context_length`: tokens of a prompt and its answer together, at most
    - `positions_max`: of KV cache, for all rows together
    - `prefill_tokens_max`: prompt tokens between two decode steps, at most
    - `rows_max`: sequences that run at once, at most
    - `threads`: of one operator
    """

    batching: Batching
    blocks: int
    chunk_tokens: int | None
    context_length: int
    positions_max: int
    prefill_tokens_max: int
    rows_max: int
    threads: int

    @property
    def rows_spare(self) -> int:
        """Rows beside those of sequences: the one that makes a batch even."""
        return int(is_even(self.batching))

    def for_waves(self) -> BatchPlan:
        """Bound a machine's plan for waves: to what is usual, so that they are the same on most machines."""
        one = (1 + self.rows_spare) * row_positions(self.context_length, self.context_length)
        positions = min(self.positions_max, max(WAVE_POSITIONS_MAX, one))
        return replace(self, positions_max=positions, blocks=min(self.blocks, WAVE_BLOCKS_MAX))

    def for_wave(self, lengths: Sequence[tuple[int, int]]) -> BatchPlan:
        """Bound the plan to what a wave can use: its sequences have (prompt tokens, positions at most).

        As many rows as sequences, each as long as the longest, and blocks for all prompts: where there is more, the
        scheduler never comes to its bounds, so every decision is the same with these.
        """
        rows = max(1, min(self.rows_max, len(lengths)))
        longest = max([row_positions(capacity, self.context_length) for _, capacity in lengths], default=0)
        blocks = sum(prompt // BLOCK_TOKENS for prompt, _ in lengths)
        return replace(
            self,
            rows_max=rows,
            positions_max=min(self.positions_max, (rows + self.rows_spare) * longest),
            blocks=min(self.blocks, blocks),
        )

    def problem(self, machine: BatchPlan) -> str | None:
        """Return the reason why a machine of the plan `machine` cannot run this plan; None if it can."""
        if self.threads != machine.threads:
            return f"it ran on {self.threads} threads, and here the model runs on {machine.threads}"
        if self.batching != machine.batching:
            return f"its batches were {self.batching!r}, and here they are {machine.batching!r}"
        if self.chunk_tokens is not None and machine.chunk_tokens is None:
            return "its prompts ran in chunks, and here they run whole"
        for what, wanted, there in (
            ("rows", self.rows_max, machine.rows_max),
            ("positions of KV cache", self.positions_max, machine.positions_max),
            ("blocks of kept prompts", self.blocks, machine.blocks),
        ):
            if wanted > there:
                return f"it needs {wanted} {what}, and here is memory for {there}"
        return None

    def text(self) -> str:
        """Return the plan as canonical JSON, which the journal holds."""
        return canonical(asdict(self))


def read_plan(text: str) -> BatchPlan:
    """Read a plan from `BatchPlan.text`. Raises ValueError for anything else."""
    try:
        plan = msgspec.json.decode(text, type=BatchPlan)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"not a batch plan: {error}") from error
    chunk = plan.chunk_tokens
    if (
        plan.rows_max < 1
        or plan.threads < 1
        or plan.prefill_tokens_max < 1
        or plan.context_length < 1
        or (chunk is not None and chunk < CHUNK_TOKENS_MIN)
        or min(plan.blocks, plan.positions_max) < 0
    ):
        raise ValueError(f"not a batch plan: {text}")
    return plan
