"""llama.cpp by its batch interface, as llama-cpp-python hands it on: by hand, and as its own server does it.

By hand: a common prefix is copied to all sequences (`copies`), or each sequence has its whole prompt (`slots`); tokens
of those that generate and tokens of prompts are in one batch. The server of llama-cpp-python (`sequential`) answers one
request after the other and keeps what the last two have in common.
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import llama_cpp.llama_cpp as lib
import numpy as np

from inference.work import Answer, Ids, Work

BATCH_TOKENS = 2048
SLOTS = 16
SLOT_TOKENS = 1280


@lib.llama_log_callback
def _quiet(level: int, text: bytes, data: object) -> None:
    """Its log would stand between the results."""


class Weights:
    """A loaded GGUF file, for any number of contexts."""

    def __init__(self, path: Path) -> None:
        lib.llama_log_set(_quiet, ctypes.c_void_p(0))
        lib.llama_backend_init()
        self.model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp does not load {path}")
        self.vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))


class Llama:
    """A context. `unified`: one KV cache for all sequences, in which copies share cells; otherwise one for each."""

    def __init__(self, weights: Weights, threads: int, unified: bool) -> None:
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.kv_unified = SLOTS * SLOT_TOKENS, SLOTS, unified
        params.n_batch, params.n_ubatch = BATCH_TOKENS, 512
        params.n_threads = params.n_threads_batch = threads
        self._weights = weights
        self._context = lib.llama_init_from_model(weights.model, params)
        if not self._context:
            raise SystemExit("llama.cpp gives no context")
        self._memory = lib.llama_get_memory(self._context)
        self._batch = lib.llama_batch_init(BATCH_TOKENS, 0, 1)

    def run_copies(self, work: Work) -> list[Answer]:
        """The prefix once, copied to every sequence by hand; then rests and answers together."""
        start = time.perf_counter()
        self._clear()
        if work.prefix:
            self._decode([(token, at, 0, False) for at, token in enumerate(work.prompts[0][: work.prefix])])
            for sequence in range(1, len(work.prompts)):
                lib.llama_memory_seq_cp(self._memory, 0, sequence, -1, -1)
        return [self._together(work, work.prefix, start)]

    def run_slots(self, work: Work) -> list[Answer]:
        """Each sequence its whole prompt."""
        start = time.perf_counter()
        self._clear()
        return [self._together(work, 0, start)]

    def run_sequential(self, work: Work) -> list[Answer]:
        """One after the other; what a prompt has in common with the one before stays."""
        start = time.perf_counter()
        self._clear()
        answer = Answer([], [])
        before: Ids = []
        for prompt in work.prompts:
            common = _common(before, prompt)
            lib.llama_memory_seq_rm(self._memory, 0, common, -1)
            one = self._together(Work(work.name, (prompt,), work.new), common, start)
            answer.tokens.append(one.tokens[0])
            answer.times.append(one.times[0])
            before = prompt
        return [answer]

    def _together(self, work: Work, done: int, start: float) -> Answer:
        """All prompts from token `done` on. Each batch: one token of each that generates, then prompts, in order."""
        prompts = work.prompts
        places = [done] * len(prompts)
        answer = Answer([[] for _ in prompts], [[] for _ in prompts])
        while any(len(tokens) < work.new for tokens in answer.tokens):
            entries: list[tuple[int, int, int, bool]] = []
            wanted: list[tuple[int, int]] = []
            for sequence, tokens in enumerate(answer.tokens):
                if tokens and len(tokens) < work.new:
                    wanted.append((len(entries), sequence))
                    entries.append((tokens[-1], places[sequence], sequence, True))
                    places[sequence] += 1
            for sequence, prompt in enumerate(prompts):
                stop = min(len(prompt), places[sequence] + BATCH_TOKENS - len(entries))
                last = len(prompt) - 1
                entries += [(prompt[at], at, sequence, at == last) for at in range(places[sequence], stop)]
                if places[sequence] < stop:
                    places[sequence] = stop
                    if stop == len(prompt):
                        wanted.append((len(entries) - 1, sequence))
            self._decode(entries)
            for place, sequence in wanted:
                answer.tokens[sequence].append(self._greedy(place))
            now = time.perf_counter() - start
            for _, sequence in wanted:
                answer.times[sequence].append(now)
        return answer

    def _clear(self) -> None:
        lib.llama_memory_clear(self._memory, False)

    def _greedy(self, place: int) -> int:
        logits = lib.llama_get_logits_ith(self._context, place)
        return int(np.ctypeslib.as_array(logits, (self._weights.vocabulary,)).argmax())

    def _decode(self, entries: list[tuple[int, int, int, bool]]) -> None:
        """Tokens with their position, their sequence, and whether their logits are wanted."""
        batch = self._batch
        batch.n_tokens = len(entries)
        for place, (token, at, sequence, logits) in enumerate(entries):
            batch.token[place], batch.pos[place] = token, at
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, sequence
            batch.logits[place] = logits
        if status := lib.llama_decode(self._context, batch):
            raise SystemExit(f"llama_decode: {status}")


def _common(before: Ids, prompt: Ids) -> int:
    count = 0
    for one, other in zip(before, prompt[:-1], strict=False):
        if one != other:
            break
        count += 1
    return count
