"""The same engine without what makes its answers reproducible, to measure what that costs.

Prompts run as long as they are: no token is added to make their pieces even, no piece gives up its last token, and a
single token may be left to prefill. Steps have as many rows as there are sequences. And where it is wanted, what
decoding wrote into the KV cache is kept for prompts that go on from an answer. All of that gives answers that depend on
what else runs and on what ran before.

Both engines share one session. The parts that differ are found by name, so this fails where the engine changes.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import turnwise.inference.engine.load as loading
from inference.ours import load_ours
from turnwise.inference.decoding.block_span import BlockSpan
from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.engine import scheduler
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.prefix_index import PrefixIndex
from turnwise.inference.engine.scheduler import Scheduler


def load_both(folder: Path, threads: int, spin_us: int | None) -> tuple[LanguageModel, LanguageModel]:
    """The model as it is loaded, and the same session with a decoder that pads nothing."""
    calls: list[inspect.BoundArguments] = []
    original = loading.Decoder

    def record(*arguments: Any, **named: Any) -> Decoder:
        calls.append(inspect.signature(original).bind(*arguments, **named))
        return original(*arguments, **named)

    loading.Decoder = record  # type: ignore[assignment, misc]
    try:
        model = load_ours(folder, threads, spin_us)
    finally:
        loading.Decoder = original  # type: ignore[misc]
    made = calls[-1]
    made.arguments["batching"] = "free"
    return model, replace(model, decoder=Unpadded(*made.args, **made.kwargs))


class Unpadded(Decoder):
    """Runs prompts of an odd number of tokens as they are. `decoded` are the tokens of each row that came in steps."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.decoded: dict[int, list[int]] = {}
        super().__init__(*arguments, **named)

    def prefill(self, row: int, ids: Sequence[int], whole: int | None = None) -> Any:
        place, self._place = self._place, replace(self._place, in_place=False)  # what asks for even numbers, too
        try:
            logits = super().prefill(row, ids, whole)
        finally:
            self._place = place
        if self._prompt_run.tokens.shape != (1, len(ids)):
            raise SystemExit(f"{len(ids)} prompt tokens ran as {self._prompt_run.tokens.shape}: padded after all")
        return logits

    def decode(self, tokens: Sequence[int], rows: Sequence[int] | None = None) -> Any:
        logits = super().decode(tokens, rows)
        if len(self._steps.tokens) != len(tokens):
            raise SystemExit(f"{len(tokens)} rows ran as {len(self._steps.tokens)}: padded after all")
        for row, token in zip(range(len(tokens)) if rows is None else rows, tokens, strict=True):
            self.decoded.setdefault(row, []).append(token)
        return logits

    def clear(self, row: int) -> None:
        self.decoded.pop(row, None)
        super().clear(row)

    def move(self, source: int, target: int) -> None:
        moved = self.decoded.pop(source, [])
        super().move(source, target)
        self.decoded[target] = moved


class Uncut(Scheduler):
    """Cuts prompts wherever a chunk is full, and lets a single token be left."""

    def reused(self, number: int, tokens: int) -> None:
        self._entries[number].done = tokens

    def _chunk(self, number: int) -> scheduler.PrefillChunk:
        rule, scheduler.chunk_end = scheduler.chunk_end, _chunk_end
        try:
            return super()._chunk(number)
        finally:
            scheduler.chunk_end = rule


class AllButOne(PrefixIndex):
    """Leaves one token to prefill, not two."""

    def find(self, tokens: Sequence[int], count_max: int, width: int = 0) -> list[BlockSpan]:
        return super().find(tokens, count_max + 1, width)


class Unconstrained(Engine):
    """Around a decoder that pads nothing. With `keeps_decoded`, a prompt may begin with what was decoded before."""

    def __init__(self, model: LanguageModel, keeps_decoded: bool = False) -> None:
        super().__init__(model)
        self._scheduler.__class__ = Uncut
        self._prefixes.__class__ = AllButOne
        self._keeps_decoded = keeps_decoded

    def _remove(self, number: int) -> None:
        if self._keeps_decoded and number in self._rows.decoding:
            row, decoder = self._rows.row(number), self._decoder
            assert isinstance(decoder, Unpadded)
            tokens = [*self._sequences[number].prompt, *decoder.decoded.get(row, [])]
            decoder.keep(row, self._prefixes.insert(tokens))
        super()._remove(number)


def _chunk_end(start: int, count: int, chunk_tokens: int | None) -> int:
    return count if chunk_tokens is None else min(count, start + chunk_tokens)
