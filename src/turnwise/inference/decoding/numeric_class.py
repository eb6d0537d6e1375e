"""Trials of a loaded graph on this machine, and the keys under which their results are remembered.

On another provider than the CPU it must first agree with the CPU; then its numeric class is observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
from numpy.typing import NDArray

from turnwise.errors import EnvironmentFailure
from turnwise.inference.decoding.agreement import difference
from turnwise.inference.decoding.block_span import BlockSpan
from turnwise.inference.decoding.decoder import CHUNK_TOKENS, Decoder, kernels_of
from turnwise.inference.decoding.graph_form import WEBGPU_CHUNK_TOKENS, Rule, fastest_rules, form_of
from turnwise.inference.decoding.memory_budget import ROUND_UP_TOKENS
from turnwise.inference.decoding.remembered import remembered
from turnwise.inference.decoding.self_test import (
    LARGE_BYTES_MIN,
    TRIAL,
    TRIAL_OF_LARGE,
    TRIAL_ON_DEVICE,
    SelfTest,
    Trial,
    cpu,
    first_that_runs,
    known,
    self_test,
    staged_trial,
    token_of,
    windowed_trial,
)
from turnwise.inference.decoding.tolerance import tolerance_of
from turnwise.inference.folders.model_folder import ModelFolder
from turnwise.inference.onnx.provider_names import CPU
from turnwise.inference.onnx.providers import versions
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, first_line
from turnwise.inference.onnx.sessions import Opened, open_session
from turnwise.inference.plans.batching import for_cache
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.kv_sizes import BLOCK_TOKENS, window_row_positions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.system.memory import memory_bytes

RECORDED_TRIAL_TOKENS: Final = 6
"""Two of a prompt, and steps: one that is recorded, one that is compared again, and two that are replayed."""

RECORDED_TRIAL_PROMPTS: Final = 3
"""The same for prompts: one that is recorded, one that is compared again, one that is replayed."""


def observe_numeric_class(spec: ModelSpec, folder: ModelFolder, opened: Opened, digest: str) -> SelfTest:
    """Find the numeric class of a graph on this machine, from memory or by trying; `none` where that is asked for.

    `digest` names the content of its folder.
    """
    trial = _trial(folder, opened)
    options = EngineOptions(rows_max=max(trial.batches))
    form = form_of(folder.layout.graph)
    first = kernels_of(folder, opened).rule
    if spec.batching is not None:
        first = Rule(for_cache(spec.batching, form.growing), first.chunked)

    longest: list[int] = []

    def make(rule: Rule, other_threads: bool) -> _Rows | None:
        if not other_threads:
            decoder = Decoder(folder, opened, options, rule.batching, rule.chunked, rule.rows_min)
            longest.append(decoder.budget.context_length)
            # Rows that are nobody's may take so much that contexts become shorter: better one sequence at a time then.
            return _Rows(decoder) if longest[-1] >= longest[0] else None
        if opened.provider != CPU or 4 * folder.weights_bytes > memory_bytes():
            return None
        threads = 2 if opened.threads == 1 else 1
        logits = folder.layout.names.logits
        here = replace(spec, provider="cpu", require=False)
        other = open_session(here, folder.layout.graph_path, folder.weights_bytes, options, threads, logits=logits)
        return _Rows(Decoder(folder, other, options, rule.batching, rule.chunked))

    if not spec.reproducible:
        return first_that_runs(make, folder.layout.vocabulary_size, fastest_rules(form))

    def test() -> SelfTest:
        stricter = spec.batching is None
        return self_test(
            make, folder.layout.vocabulary_size, folder.layout.context_length, trial, first, stricter=stricter
        )

    key = _key(opened, digest)
    if spec.batching is not None:
        key["batching"] = spec.batching
    return known(key, test)


class _Agreement(msgspec.Struct):
    difference: str | None


def differs(spec: ModelSpec, folder: ModelFolder, opened: Opened, digest: str) -> str | None:
    """Describe how a session on another provider differs from the CPU; None if it agrees, or has agreed before.

    Raises EnvironmentFailure if there is not the memory to compare.
    """
    if 2 * folder.weights_bytes > memory_bytes():
        raise EnvironmentFailure("cannot be compared with the cpu: the model does not fit this machine's memory")
    options = EngineOptions(rows_max=4)
    tolerance = tolerance_of(folder)

    def find() -> _Agreement:
        here = replace(spec, provider="cpu", require=False)
        cpu_session = open_session(
            here, folder.layout.graph_path, folder.weights_bytes, options, logits=folder.layout.names.logits
        )
        reference = Decoder(folder, cpu_session, options)
        return _Agreement(
            difference(Decoder(folder, opened, options), reference, folder.layout.vocabulary_size, tolerance)
        )

    key = {"agreement": 2, "tolerance": f"{tolerance}", **_key(opened, digest)}
    # What disagrees is tried again each time: a driver may have been mended.
    return remembered(key, _Agreement, find, keep=lambda found: found.difference is None).difference


def cannot_record(folder: ModelFolder, opened: Opened) -> str | None:
    """Say why runs of a session are not to be recorded, by recording some; None if they may be."""
    decoder = Decoder(folder, opened, EngineOptions(rows_max=4), recorded_after=0)
    if decoder.recorded is None:
        return "its steps take no batch"
    tokens = [token_of(folder.layout.vocabulary_size, 0, place) for place in range(RECORDED_TRIAL_TOKENS)]
    if decoder.budget.context_length < len(tokens):
        return "its context is too short to try"
    try:
        for first in range(RECORDED_TRIAL_PROMPTS):
            decoder.begin(len(tokens))
            decoder.prefill(0, [tokens[first], tokens[0]])
        for token in tokens[2:]:
            decoder.decode([token])
    except RUNTIME_ERRORS as error:
        return decoder.recorded.refused or f"a run fails after another was recorded: {first_line(error)}"
    return decoder.recorded.refused


def _trial(folder: ModelFolder, opened: Opened) -> Trial:
    if opened.device is not None:
        return TRIAL_ON_DEVICE
    if opened.tensors is not None:
        return staged_trial(WEBGPU_CHUNK_TOKENS)
    if folder.layout.kv_window:
        return windowed_trial(window_row_positions(folder.layout.kv_window), CHUNK_TOKENS)
    return TRIAL_OF_LARGE if folder.weights_bytes >= LARGE_BYTES_MIN else TRIAL


def _key(opened: Opened, digest: str) -> dict[str, object]:
    """Return the key of an observation: everything that could change it."""
    key: dict[str, object] = {
        "model": digest,
        "provider": opened.provider,
        "threads": opened.threads,
        "versions": versions(),
        "cpu": cpu(),
    }
    return key | {"device": dict(opened.facts)} if opened.facts else key


class _Rows:
    """A decoder whose rows are used from the beginning each time."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def begin_rows(self, rows: int, room: int) -> int:
        budget = self._decoder.budget
        room = min(room, budget.context_length)
        rows = max(1, min(rows, budget.rows_max, budget.positions_max // (room + ROUND_UP_TOKENS) - budget.rows_spare))
        self._decoder.begin(room)
        self._decoder.reserve(rows, room)
        self._decoder.forget_beyond(rows)
        return rows

    def prefill(self, row: int, ids: Sequence[int], whole: int) -> NDArray[Any]:
        start = 0
        for piece in self._decoder.prompts.cut(len(ids)):
            held = self._decoder.held(row)
            logits = self._decoder.prefill(row, ids[start : start + piece], whole)
            if row == 0 and self._decoder.keeps_pieces:
                self._keep(held, held + piece)
            start += piece
        return logits

    def _keep(self, start: int, stop: int) -> None:
        """Keep the whole blocks of the first row between two places, that are still held."""
        first = -(-max(start, self._decoder.held_from(0)) // BLOCK_TOKENS)
        blocks = range(first, min(stop // BLOCK_TOKENS, self._decoder.budget.blocks))
        self._decoder.keep(0, [BlockSpan(block, block * BLOCK_TOKENS, BLOCK_TOKENS) for block in blocks])

    def begin_again(self, tokens: int, room: int) -> int:
        tokens = self._decoder.prompts.reusable(tokens)
        blocks = range(min(tokens // BLOCK_TOKENS, self._decoder.budget.blocks))
        spans = [BlockSpan(block, block * BLOCK_TOKENS, BLOCK_TOKENS) for block in blocks]
        if spans and not self._decoder.keeps_pieces:
            self._decoder.keep(0, spans)
        self.begin_rows(1, room)
        if spans:
            self._decoder.restore(0, spans)
        return len(spans) * BLOCK_TOKENS

    def decode(self, tokens: Sequence[int]) -> Sequence[NDArray[Any]]:
        # Whoever took part in a larger step is gone, so that each step has the size that it has in a run.
        self._decoder.forget_beyond(len(tokens))
        return self._decoder.decode(tokens)
