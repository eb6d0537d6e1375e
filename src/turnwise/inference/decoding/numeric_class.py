"""The self-test of a loaded graph: what it is tried with, and under which name the result is remembered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.decoding.graph_form import Rule, form_of
from turnwise.inference.decoding.self_test import BATCHES, SelfTest, cpu, remembered, self_test
from turnwise.inference.folders.model_folder import ModelFolder
from turnwise.inference.onnx.providers import CPU, Opened, open_session, versions
from turnwise.inference.plans.batching import for_cache
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.system.memory import memory_bytes


def observe(spec: ModelSpec, folder: ModelFolder, opened: Opened, digest: str) -> SelfTest:
    """What the graph does on this machine, from memory or by trying. `digest` names the content of its folder."""
    options = EngineOptions(rows_max=max(BATCHES))
    form = form_of(folder.graph)
    first = form.rule
    if opened.provider != CPU:  # not known anywhere: begin with what the engine does there
        first = Rule("single", first.chunked)
    if spec.batching is not None:
        first = Rule(for_cache(spec.batching, form.growing), first.chunked)

    def make(rule: Rule, other_threads: bool) -> _Rows | None:
        if not other_threads:
            return _Rows(Decoder(folder, opened, options, rule.batching, rule.chunked))
        if opened.provider != CPU or 4 * folder.weights_bytes > memory_bytes():
            return None
        threads = 2 if opened.threads == 1 else 1
        logits = folder.names.logits
        other = open_session(spec, folder.graph_path, folder.weights_bytes, options, threads, logits=logits)
        return _Rows(Decoder(folder, other, options, rule.batching, rule.chunked))

    def test() -> SelfTest:
        stricter = spec.batching is None
        return self_test(
            make, folder.vocabulary_size, folder.context_length, folder.weights_bytes, first, stricter=stricter
        )

    key: dict[str, object] = {
        "model": digest,
        "provider": opened.provider,
        "threads": opened.threads,
        "versions": versions(),
        "cpu": cpu(),
    }
    if spec.batching is not None:
        key["batching"] = spec.batching
    return remembered(key, test)


class _Rows:
    """A decoder whose rows are used from the beginning each time."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def begin_rows(self, rows: int, room: int) -> int:
        rows = min(rows, self._decoder.budget.rows_max)
        self._decoder.begin(min(room, self._decoder.budget.context_length))
        self._decoder.reserve(rows, room)
        return rows

    def prefill(self, row: int, ids: Sequence[int]) -> NDArray[Any]:
        return self._decoder.prefill(row, ids)

    def decode(self, tokens: Sequence[int]) -> Sequence[NDArray[Any]]:
        return self._decoder.decode(tokens)
