"""A language model's graph, run: token ids in, logits of the last position of each sequence out.

What is run when is decided by the scheduler; here is only how. Sequences lie in rows of the KV cache. A prompt is
appended to one row, in pieces; a step appends one token to each of several rows: of the first ones, where the cache is
in place, and of equally long ones where it grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from turnwise.errors import InvariantError
from turnwise.inference.decoding.block_span import BlockSpan
from turnwise.inference.decoding.call import Call
from turnwise.inference.decoding.graph_form import Kernels, fastest, form_of, on_provider
from turnwise.inference.decoding.growing_kv_cache import GrowingKv
from turnwise.inference.decoding.kv_cache import KvBlocks
from turnwise.inference.decoding.kv_memory import KvMemory, kv_place
from turnwise.inference.decoding.memory_budget import Budget
from turnwise.inference.decoding.pieces_beside import PiecesBeside
from turnwise.inference.decoding.prompt_pieces import PromptPieces
from turnwise.inference.decoding.recorded_runs import RECORDED_AFTER_RUNS, RecordedRuns
from turnwise.inference.decoding.signature import Signature
from turnwise.inference.decoding.staged_kv_cache import StagedKv, power_of_two
from turnwise.inference.decoding.tolerance import tolerance_of
from turnwise.inference.folders.model_folder import ModelFolder
from turnwise.inference.onnx.provider_names import CPU
from turnwise.inference.onnx.sessions import Opened
from turnwise.inference.plans.batch_plan import BatchPlan
from turnwise.inference.plans.batching import Batching, for_cache, is_equal, is_even, prefill_tokens_max
from turnwise.inference.plans.engine_options import EngineOptions

CHUNK_TOKENS: Final = 128

NEIGHBOURS_MAX: Final = 64
"""Positions of a prompt of which logits are wanted at once: 39 MB of them where a vocabulary has 152 thousand."""

RECORDED_ROWS: Final = 8
RECORDED_WIDTH_MIN: Final = 512
"""Steps that are recorded have so many rows, or a multiple of that, and masks of this width, or twice that, and so on:
so that few recordings serve many steps. What is added shows in no bits."""


class Decoder:
    """A loaded graph with its KV cache. Not thread-safe.

    `chunk_tokens` is how many prompt tokens a run may take, or None if every prompt runs in one piece, and none is
    reused. `budget` says what the KV cache holds. `batching` None: what the form of the graph needs on this provider.
    With `equal`, only sequences of equal length are stepped together. `chunked` None: if the cache is in place. Steps
    have at least `rows_min` rows; None: as many as the provider's kernels need. `recorded` are its runs that are
    recorded, when a shape has come `recorded_after` times; None if the session records nothing. `prompts` says how
    prompts are cut.
    """

    def __init__(
        self,
        folder: ModelFolder,
        opened: Opened,
        options: EngineOptions | None = None,
        batching: Batching | None = None,
        chunked: bool | None = None,
        rows_min: int | None = None,
        recorded_after: int = RECORDED_AFTER_RUNS,
    ) -> None:
        """Check the graph's inputs and outputs against genai_config.json. Raises ModelError if they do not fit."""
        options = options or EngineOptions()
        signature = Signature(folder, opened.session)
        self.kv = signature.kv
        place = kv_place(folder, opened)
        kernels = kernels_of(folder, opened)
        masked = folder.layout.names.attention_mask in signature.inputs
        batched = masked if place.in_place else form_of(folder.layout.graph).growing and opened.provider == CPU
        wanted_batching = for_cache(batching or kernels.rule.batching, not place.in_place)
        self.batching: Batching = wanted_batching if batched else "single"
        self.equal = is_equal(self.batching)
        self._even = is_even(self.batching)
        chunked = place.in_place if chunked is None else chunked
        piece_tokens = kernels.chunk_tokens or CHUNK_TOKENS
        self.chunk_tokens = piece_tokens if chunked else None
        in_rows = place.in_place and masked
        self.rows_min = (rows_min or kernels.rows_min) if in_rows else 1
        self.recorded: RecordedRuns | None = None
        if opened.recordings is not None and in_rows:
            tolerance = None if opened.reproducible else tolerance_of(folder)
            self.recorded = RecordedRuns(opened.session, opened.recordings, recorded_after, tolerance)
        self._place = place
        self._reproducible = opened.reproducible
        self._window = folder.layout.window if place.in_place and not place.windowed else 0
        self.form = f"{place.name} {self.kv.dtype}"
        self._memory = KvMemory(
            folder,
            opened,
            self.kv,
            place,
            options.kv_bytes_max,
            # Rows that a step has anyway cost nothing more when they are somebody's.
            rows_max=1 if self.batching == "single" else max(options.rows_max, self.rows_min),
            rows_spare=max(self._step_rows(1) - 1, RECORDED_ROWS - 1 if self.recorded is not None else 0),
            row_positions_min=self._window,
            cached=chunked and (masked if place.in_place else opened.provider == CPU),
        )
        self.budget: Budget = self._memory.budget
        self._kv = self._memory.kv
        on_grid = (kernels.on_grid and in_rows) or (place.windowed and chunked)
        self.prompts = PromptPieces(piece_tokens, self.budget.context_length, on_grid, on_grid and kernels.wide)
        rows = self.budget.rows_max + self.budget.rows_spare
        self._lengths = np.zeros(power_of_two(rows + self._step_rows(1) + 1), np.int64)
        wanted = (2 if self._even else 1) if signature.positions else None
        make = partial(Call, opened, folder.layout.names, signature, folder.layout.vocabulary_size)
        self._steps, self._prompt_run = make(self._kv, wanted, self.recorded), make(self._kv, wanted)
        # Made when an answer is checked: few processes ever do, and logits of many positions take memory.
        self._make_checks = partial(make, self._kv, NEIGHBOURS_MAX + 1 if signature.positions else None)
        self._checks: Call | None = None
        self._beside: PiecesBeside | None = None
        if self.recorded is not None and self.prompts.wide:
            make_beside = partial(make, wanted=wanted, recorded=self.recorded)
            self._beside = PiecesBeside(self.kv, opened.device, piece_tokens, make_beside)

    def plan(self, threads: int, *, any_machine: bool = False) -> BatchPlan:
        """Return the plan for what this machine has room for, or for one that has memory for everything."""
        there = self._memory.budget_of_any if any_machine else self.budget
        return BatchPlan(
            batching=self.batching,
            blocks=there.blocks,
            chunk_tokens=self.chunk_tokens,
            context_length=there.context_length,
            positions_max=there.positions_max,
            prefill_tokens_max=prefill_tokens_max(self.batching),
            rows_max=there.rows_max,
            threads=threads,
        )

    def reset(self, positions_max: int) -> None:
        """Forget everything; rows are laid out anew as if for the first time, in at most so many positions."""
        for row in range(len(self._lengths)):
            self.clear(row)
        self.give_back()
        most = self.budget.positions_max
        self._kv.forget(most if self._place.on_device else min(positions_max, most))

    def reserve(self, rows: int, room: int) -> None:
        """At least `rows` rows of `room` positions each; what they hold stays."""
        self._kv.reserve(self._step_rows(rows), self.room(room), self._lengths.tolist())

    def room(self, capacity: int) -> int:
        """Return the number of positions in the row of a sequence that needs `capacity` of them."""
        return max(capacity, self._window, self.prompts.width(capacity))

    @property
    def doubles_rows(self) -> bool:
        """True if steps have 1, 2, 4, 8, … rows, some of which may be nobody's."""
        return self._memory.staged is not None

    def forget_beyond(self, count: int) -> None:
        """Forget the rows beyond the first `count`, and lay out no more than a step of those has, where that shows."""
        if self._memory.staged is not None:
            for row in range(count, len(self._lengths)):
                self.clear(row)
            self._memory.staged.lay_few(self._step_rows(count), self._lengths.tolist())

    @property
    def keeps_pieces(self) -> bool:
        """True if a prompt is to be kept piece by piece: a row does not hold its beginning when it is run."""
        return self._memory.windowed is not None and self._memory.blocks is not None

    def held_from(self, row: int) -> int:
        """Return the first token of those that a row holds in all layers, and that can be kept."""
        length = int(self._lengths[row])
        return 0 if self._memory.windowed is None else length - self._memory.windowed.resident(length)

    @property
    def keeps_answers(self) -> bool:
        """True if what steps wrote may be taken for the beginning of a prompt: it need not be what prefill writes."""
        return not self._reproducible and self._memory.blocks is not None

    def held(self, row: int) -> int:
        """Return how many tokens a row holds."""
        return int(self._lengths[row])

    def clear(self, row: int) -> None:
        """Forget what the row holds."""
        self._kv.clear(row)
        self._lengths[row] = 0
        self._steps.mask_known = False

    def move(self, source: int, target: int) -> None:
        """Move what row `source` holds to row `target`; `source` is then empty."""
        self._kv.move(source, target, int(self._lengths[source]))
        self._lengths[target] = self._lengths[source]
        self.clear(source)

    def prefill(self, row: int, ids: Sequence[int], whole: int | None = None) -> NDArray[Any]:
        """Append tokens of a prompt to a row; the logits of the last one (shape [vocabulary]), valid until the next.

        `whole` is how many tokens the prompt has in all (None: these are its last).

        Appended in several pieces, they give the same bits as in one, if no piece is a single token. Attention works on
        blocks of tokens, and on a block of one by other arithmetic; where blocks begin depends on the piece. So one
        more token makes the number even, whose place the next token takes.
        """
        logits: NDArray[Any] = self._append(self._prompt_run, row, ids, whole, 1)[0]
        return logits

    def prefill_neighbours(self, row: int, ids: Sequence[int], count: int, whole: int | None = None) -> NDArray[Any]:
        """Append as `prefill` does; the logits of the last `count` tokens (at most `NEIGHBOURS_MAX`)."""
        if self._checks is None:
            self._checks = self._make_checks()
        return self._append(self._checks, row, ids, whole, count)

    def _append(self, call: Call, row: int, ids: Sequence[int], whole: int | None, count: int) -> NDArray[Any]:
        new, past = len(ids), int(self._lengths[row])
        width = self.prompts.width(whole or past + new)
        padding = new % 2 if self._even or (self._place.in_place and new > 1) else 0
        if self.prompts.on_grid or not self._reproducible:
            padding = self.prompts.filling(past, new, width)
        memory = self._memory
        if count == 1 and self._beside and memory.rows and new + padding == self.prompts.size:
            logits: NDArray[Any] = self._beside.append(memory.rows, row, past, ids, width)
            self._appended(row, past + new)
            return logits
        if memory.growing is not None:
            memory.growing.gather([row])
        if memory.staged is not None:
            memory.staged.begin_prompt(row, self._lengths.tolist())
        call.prepare([row], 1, past, new + padding)
        call.tokens[0, :new] = ids
        call.tokens[0, new:] = ids[-1]
        call.positions[0] = np.arange(past, past + new + padding)
        if width:
            call.mask_known = False
            call.mask_rows(np.array([past + new + padding - 1]), max(width, past + new + padding))
        else:
            call.mask_ones(1, past + new + padding)
        logits = call.run(new - 1, 1) if count == 1 else call.run_neighbours(new - count, count)
        if memory.growing is not None and padding:
            memory.growing.trim(row, past + new)
        self._appended(row, past + new)
        return logits

    def _appended(self, row: int, length: int) -> None:
        self._lengths[row] = length
        self._steps.mask_known = False

    def decode(self, tokens: Sequence[int], rows: Sequence[int] | None = None) -> list[NDArray[Any]]:
        """Append one token each to these rows (None: the first ones) in one step: their logits, valid until the next.

        Where the cache is in place, the rows follow each other; where it grows, they are equally long.
        """
        rows = range(len(tokens)) if rows is None else rows
        if self._memory.growing is not None:
            return self._step_equal(tokens, rows, self._memory.growing)
        if self._memory.staged is not None:
            return list(self._step_all(tokens, rows[0], self._memory.staged))
        return list(self._step(tokens, rows[0]))

    def _step_equal(self, tokens: Sequence[int], rows: Sequence[int], kv: GrowingKv) -> list[NDArray[Any]]:
        lying = kv.gather(rows)
        place = {row: index for index, row in enumerate(lying)}
        past, count = int(self._lengths[rows[0]]), len(rows)
        call = self._steps
        call.prepare(lying, count + (count % 2 if self._even else 0), past, 1)
        call.tokens[:, 0] = tokens[-1]
        for row, token in zip(rows, tokens, strict=True):
            call.tokens[place[row], 0] = token
        call.positions[:, 0] = past
        call.mask_ones(len(call.tokens), past + 1)
        logits = call.run(0, len(call.tokens))
        self._lengths[lying] += 1
        return [logits[place[row]] for row in rows]

    def _step_all(self, tokens: Sequence[int], row: int, kv: StagedKv) -> NDArray[Any]:
        """Run all rows that there are; those of others write behind what they hold, where nothing is yet."""
        last = row + len(tokens)
        rows = kv.begin_step(max(last + (last % 2 if self._even else 0), self.rows_min), self._lengths.tolist())
        lengths = self._lengths[:rows]
        call = self._steps
        longest = int(lengths.max())
        call.prepare(range(rows), rows, longest, 1)
        call.tokens[:, 0] = tokens[0]
        call.tokens[row:last, 0] = tokens
        call.positions[:, 0] = lengths
        call.mask_rows(lengths, longest + 1)
        logits: NDArray[Any] = call.run(0, last)[row:]
        lengths[row:last] += 1
        return logits

    def _step(self, tokens: Sequence[int], row: int) -> NDArray[Any]:
        count = len(tokens)
        rows = self._step_rows(count)
        if row:
            self._kv.reserve(row + rows, 1, self._lengths.tolist())
        lengths = self._lengths[row : row + rows]
        call = self._steps
        longest = int(lengths.max())
        call.prepare(range(row, row + count), rows, longest, 1)
        call.tokens[:count, 0] = tokens
        call.positions[:, 0] = lengths
        call.mask_known &= row == 0
        # Rows that are added to a batch write behind what they hold, where nothing is yet.
        call.mask_rows(lengths, self._step_width(longest + 1))
        logits: NDArray[Any] = call.run(0, count)
        if self._memory.windowed is not None:
            for added in range(count, rows):
                self._memory.windowed.retract(row + added, int(lengths[added]))
        lengths[:count] += 1
        call.mask_known &= row == 0
        return logits

    def _step_rows(self, count: int) -> int:
        """Return the number of rows of a step of `count` sequences."""
        rows = max(count + (count % 2 if self._even else 0), self.rows_min)
        return rows if self.recorded is None or rows <= RECORDED_ROWS else -(-rows // RECORDED_ROWS) * RECORDED_ROWS

    def _step_width(self, positions: int) -> int:
        """Return the width of the mask of a step whose longest row will hold so many positions."""
        if self.recorded is None or self._memory.rows is None:
            return positions
        return min(max(RECORDED_WIDTH_MIN, 1 << (positions - 1).bit_length()), max(positions, self._memory.rows.room))

    def retract(self, row: int) -> None:
        """Take back the last token of a row."""
        self._lengths[row] -= 1
        if self._memory.windowed is not None:
            self._memory.windowed.retract(row, int(self._lengths[row]))
        self._steps.mask_known = False

    def keep(self, row: int, spans: Sequence[BlockSpan]) -> None:
        """Copy from a row into blocks."""
        self._kept.keep(self._kv, row, spans, int(self._lengths[row]))

    def give_back(self, blocks: Iterable[int] | None = None) -> None:
        """Give back the memory of blocks (None: of all) that are kept no more."""
        if self._memory.blocks is not None:
            self._memory.blocks.give_back(blocks)

    def restore(self, row: int, spans: Sequence[BlockSpan]) -> None:
        """Copy from blocks into an empty row."""
        self._lengths[row] = length = sum(span.count for span in spans)
        if self._memory.growing is not None:
            self._memory.growing.lay(row, length)
        self._kept.restore(self._kv, row, spans)
        self._steps.mask_known = False

    @property
    def _kept(self) -> KvBlocks:
        if self._memory.blocks is None:
            raise InvariantError("there are no blocks to keep prompts in")
        return self._memory.blocks

    def begin(self, capacity: int) -> None:
        """Forget everything and start one sequence, that will hold at most `capacity` positions, in row 0."""
        if not 1 <= capacity <= self.budget.context_length:
            raise InvariantError(f"a sequence of {capacity} tokens in a context of {self.budget.context_length}")
        for row in range(len(self._lengths)):
            self.clear(row)
        self.reserve(1, capacity)

    def run(self, ids: Sequence[int]) -> NDArray[Any]:
        """Append tokens to the sequence in row 0, a single one by a step; the logits of the last one."""
        if len(ids) > 1 or not self._lengths[0]:
            return self.prefill(0, ids)
        return self.decode(ids)[0]


def kernels_of(folder: ModelFolder, opened: Opened) -> Kernels:
    """Return what the graph's kernels need on the provider that runs it, so that bits are equal if they are to be."""
    if not opened.reproducible:
        return fastest(form_of(folder.layout.graph), opened.provider)
    multiprocessors = None if opened.device is None else opened.device.multiprocessors
    return on_provider(
        form_of(folder.layout.graph), folder.layout.graph, opened.provider, folder.layout.kv_heads, multiprocessors
    )
