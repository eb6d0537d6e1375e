"""A language model's graph, run: token ids in, logits of the last position of each sequence out.

What is run when is decided by the scheduler; here is only how. Sequences lie in rows of the KV cache. A prompt is
appended to one row, in pieces; a step appends one token to each of several rows: of the first ones, where the cache is
in place, and of equally long ones where it grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from turnwise.errors import InvariantError
from turnwise.inference.decoding.block_span import BlockSpan
from turnwise.inference.decoding.graph_form import ATTENTIONS, GROUP_QUERY_ATTENTION, batching_of
from turnwise.inference.decoding.growing_kv_cache import GrowingKv
from turnwise.inference.decoding.kv_cache import InPlaceKv, Kv, KvBlocks
from turnwise.inference.decoding.memory_budget import ROUND_UP_TOKENS, Budget, budget
from turnwise.inference.decoding.signature import BRANCH_INPUT, Signature
from turnwise.inference.folders.model_folder import ModelFolder
from turnwise.inference.onnx.gather_logits import POSITIONS_INPUT
from turnwise.inference.onnx.providers import CPU, CUDA, Opened
from turnwise.inference.plans.batch_plan import BatchPlan
from turnwise.inference.plans.batching import Batching, for_cache, is_equal, is_even, prefill_tokens_max
from turnwise.inference.plans.engine_options import EngineOptions

CHUNK_TOKENS: Final = 128
UNBOUNDED_BYTES: Final = 1 << 62
GROWING_COST: Final = 2
"""A cache that grows takes as much memory again while it is read and written."""


class Decoder:
    """A loaded graph with its KV cache. Not thread-safe.

    `chunk_tokens` is how many prompt tokens a run may take, or None if every prompt runs in one piece, and none is
    reused. `budget` says what the KV cache holds. `batching` None: what the form of the graph needs. With `equal`, only
    sequences of equal length are stepped together. `chunked` None: if the cache is in place.
    """

    def __init__(
        self,
        folder: ModelFolder,
        opened: Opened,
        options: EngineOptions | None = None,
        batching: Batching | None = None,
        chunked: bool | None = None,
    ) -> None:
        """Check the graph's inputs and outputs against genai_config.json. Raises ModelError if they do not fit."""
        options = options or EngineOptions()
        signature = Signature(folder, opened.session)
        self.kv = signature.kv
        attentions = {name for name in folder.graph.operators if name in ATTENTIONS}
        appends = attentions == {GROUP_QUERY_ATTENTION}
        # Memory of other accelerators is not addressed from here: ONNX Runtime copies for them.
        in_place = appends and opened.provider in (CPU, CUDA)
        device = "cuda" if opened.provider == CUDA else "cpu"
        masked = folder.names.attention_mask in signature.inputs
        batched = opened.provider == CPU and (masked if in_place else not appends)
        wanted_batching = for_cache(batching, not in_place) if batching else batching_of(folder.graph, not in_place)
        self.batching: Batching = wanted_batching if batched else "single"
        self.equal = is_equal(self.batching)
        self._even = is_even(self.batching)
        chunked = in_place if chunked is None else chunked
        self.chunk_tokens = CHUNK_TOKENS if chunked else None
        self._in_place = in_place
        self.form = f"{'in_place' if in_place else 'growing'} {self.kv.dtype}"
        budget_of = partial(
            budget,
            bytes_per_token=self.kv.bytes_per_token * (1 if in_place else GROWING_COST),
            context_length=folder.context_length,
            rows_max=1 if self.batching == "single" else options.rows_max,
            rows_spare=int(self._even),
            cached=opened.provider == CPU and chunked and (masked or not in_place),
        )
        self.budget: Budget = budget_of(options.kv_bytes_max)
        self._budget_of_any: Budget = budget_of(UNBOUNDED_BYTES)
        rows = self.budget.rows_max + self.budget.rows_spare
        self._kv: Kv
        self._growing: GrowingKv | None = None
        if in_place:
            self._kv = InPlaceKv(self.kv, device, rows, self.budget.positions_max)
        else:
            self._kv = self._growing = GrowingKv(self.kv, device, self.budget.rows_spare)
        self._blocks = KvBlocks(self.kv, self.budget.blocks) if self.budget.blocks else None
        self._lengths = np.zeros(rows + 1, np.int64)
        wanted = (2 if self._even else 1) if signature.positions else None
        self._steps = _Call(folder, opened, signature, self._kv, wanted)
        self._prompts = _Call(folder, opened, signature, self._kv, wanted)

    def plan(self, threads: int, *, any_machine: bool = False) -> BatchPlan:
        """What this machine has room for, or one that has memory for everything."""
        there = self._budget_of_any if any_machine else self.budget
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
        self._kv.forget(min(positions_max, self.budget.positions_max))

    def reserve(self, rows: int, room: int) -> None:
        """At least `rows` rows of `room` positions each; what they hold stays."""
        self._kv.reserve(rows + self.budget.rows_spare, room, self._lengths.tolist())

    def clear(self, row: int) -> None:
        """Forget what the row holds."""
        self._kv.clear(row)
        self._lengths[row] = 0
        self._steps.mask_known = False

    def move(self, source: int, target: int) -> None:
        """What row `source` holds goes to row `target`; `source` is then empty."""
        self._kv.move(source, target, int(self._lengths[source]))
        self._lengths[target] = self._lengths[source]
        self.clear(source)

    def prefill(self, row: int, ids: Sequence[int]) -> NDArray[Any]:
        """Append tokens of a prompt to a row; the logits of the last one (shape [vocabulary]), valid until the next.

        Appended in several pieces, they give the same bits as in one, if no piece is a single token. Attention works on
        blocks of tokens, and on a block of one by other arithmetic; where blocks begin depends on the piece. So one
        more token makes the number even, whose place the next token takes.
        """
        new, past = len(ids), int(self._lengths[row])
        padding = new % 2 if self._even or (self._in_place and new > 1) else 0
        if self._growing is not None:
            self._growing.gather([row])
        call = self._prompts
        call.prepare([row], 1, past, new + padding)
        call.tokens[0, :new] = ids
        call.tokens[0, new:] = ids[-1]
        call.positions[0] = np.arange(past, past + new + padding)
        call.mask_ones(1, past + new + padding)
        logits: NDArray[Any] = call.run(new - 1)[0]
        if self._growing is not None and padding:
            self._growing.trim(row, past + new)
        self._lengths[row] = past + new
        self._steps.mask_known = False
        return logits

    def decode(self, tokens: Sequence[int], rows: Sequence[int] | None = None) -> list[NDArray[Any]]:
        """Append one token each to these rows (None: the first ones) in one step: their logits, valid until the next.

        Where the cache is in place, the rows follow each other; where it grows, they are equally long.
        """
        rows = range(len(tokens)) if rows is None else rows
        if self._growing is not None:
            return self._step_equal(tokens, rows, self._growing)
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
        logits = call.run(0)
        self._lengths[lying] += 1
        return [logits[place[row]] for row in rows]

    def _step(self, tokens: Sequence[int], row: int) -> NDArray[Any]:
        count = len(tokens)
        rows = count + (count % 2 if self._even else 0)
        lengths = self._lengths[row : row + rows]
        call = self._steps
        longest = int(lengths.max())
        call.prepare(range(row, row + count), rows, longest, 1)
        call.tokens[:count, 0] = tokens
        call.positions[:, 0] = lengths
        call.mask_known &= row == 0
        # The row that makes the batch even writes behind what it holds, where nothing is yet.
        call.mask_rows(lengths, longest + 1)
        logits: NDArray[Any] = call.run(0)[:count]
        lengths[:count] += 1
        call.mask_known &= row == 0
        return logits

    def retract(self, row: int) -> None:
        """Take back the last token of a row."""
        self._lengths[row] -= 1
        self._steps.mask_known = False

    def keep(self, row: int, spans: Sequence[BlockSpan]) -> None:
        """Copy from a row into blocks."""
        assert self._blocks is not None
        self._blocks.keep(self._kv, row, spans)

    def restore(self, row: int, spans: Sequence[BlockSpan]) -> None:
        """Copy from blocks into an empty row."""
        assert self._blocks is not None
        self._lengths[row] = length = sum(span.count for span in spans)
        if self._growing is not None:
            self._growing.lay(row, length)
        self._blocks.restore(self._kv, row, spans)
        self._steps.mask_known = False

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


class _Call:
    """A binding of the graph with memory of its own for what is not KV cache. Bound anew only where that is needed.

    Logits are taken of `wanted` neighbouring positions, or None: of all.
    """

    def __init__(self, folder: ModelFolder, opened: Opened, signature: Signature, kv: Kv, wanted: int | None) -> None:
        self._session = opened.session
        self._binding = opened.session.io_binding()
        self._constants = signature.constants
        for name, array in self._constants.items():
            self._binding.bind_cpu_input(name, array)
        self._branch = np.zeros(1, np.bool_) if signature.branch else None
        if self._branch is not None:
            self._binding.bind_input(BRANCH_INPUT, "cpu", 0, np.bool_, (1,), self._branch.ctypes.data)
        self._names = folder.names
        self._index = signature.index
        self._inputs = signature.inputs
        self._vocabulary = folder.vocabulary_size
        self._kv = kv
        self._wanted_max = wanted
        self._wanted = np.arange(wanted or 0)
        self._bound: tuple[int, int, int, int] | None = None
        self._ids = np.empty(0, self._index)
        self._places = np.empty(0, self._index)
        self._mask = np.empty(0, self._index)
        self._ones = 0
        self._mask_shape = (0, 0)
        self._logits = np.empty(0, signature.logits)
        self._rows = np.empty(0, np.intp)
        self.mask_known = False
        self.tokens = self._ids.reshape(0, 0)
        self.positions = self._places.reshape(0, 0)
        self.logits = self._logits.reshape(0, 0, 0)

    def prepare(self, rows: Sequence[int], count: int, past: int, new: int) -> None:
        """Bind for `new` tokens to each of `count` rows, `rows` first, the longest of which holds `past`."""
        if self._branch is not None:
            self._branch[0] = past > 0
        wanted = (rows[0], count, new, self._kv.version)
        if wanted == self._bound:
            return
        if self._bound is None or (count, new) != self._bound[1:3]:
            self._bind_tokens(count, new)
        self._kv.bind(self._binding, rows, count, past, new)
        self._bound = wanted

    def mask_ones(self, rows: int, width: int) -> None:
        """Rows all of which count."""
        if rows * width > self._ones:
            self._ones = -(-rows * width // ROUND_UP_TOKENS) * ROUND_UP_TOKENS
            self._mask = np.ones(self._ones, self._index)
            self._mask_shape = (0, 0)
        if self._mask_shape != (rows, width):
            self._bind_mask(rows, width)

    def mask_rows(self, lengths: NDArray[np.int64], width: int) -> None:
        """Row i counts up to and with position `lengths[i]`; of the rest, as little as possible is bound anew."""
        width = -(-width // ROUND_UP_TOKENS) * ROUND_UP_TOKENS
        rows = len(lengths)
        if (rows, width) != self._mask_shape or not self.mask_known:
            if rows * width > len(self._mask):
                self._mask = np.empty(rows * width, self._index)
                self._mask_shape = (0, 0)
            if (rows, width) != self._mask_shape:
                self._bind_mask(rows, width)
                self._rows = np.arange(rows)
            np.less_equal(np.arange(width), lengths[:, None], out=self._mask_view, casting="unsafe")
            self.mask_known = True
        else:
            self._mask_view[self._rows, lengths] = 1

    def run(self, position: int) -> NDArray[Any]:
        """Logits [rows, vocabulary] of new token number `position` of each row."""
        wanted = self.logits.shape[1]
        first = min(position, self.tokens.shape[1] - wanted)
        if self._wanted_max is not None and self._wanted[0] != first:
            self._wanted[:] = np.arange(first, first + len(self._wanted))
        self._session.run_with_iobinding(self._binding)
        self._kv.done()
        row: NDArray[Any] = self.logits[:, position - first]
        return row

    def _bind_tokens(self, rows: int, new: int) -> None:
        count = rows * new
        if count > len(self._ids):
            self._ids = np.zeros(count, self._index)
            self._places = np.zeros(count, self._index)
        self.tokens = self._ids[:count].reshape(rows, new)
        self.positions = self._places[:count].reshape(rows, new)
        self._bind(self._names.input_ids, self._ids, (rows, new))
        if self._names.position_ids in self._inputs:
            self._bind(self._names.position_ids, self._places, (rows, new))
        wanted = new if self._wanted_max is None else min(new, self._wanted_max)
        if self._wanted_max is not None:
            address = self._wanted.ctypes.data
            self._binding.bind_input(POSITIONS_INPUT, "cpu", 0, np.int64, (wanted,), address)
        shape = (rows, wanted, self._vocabulary)
        size = rows * wanted * self._vocabulary
        if size > len(self._logits):
            self._logits = np.empty(size, self._logits.dtype)
        self.logits = self._logits[:size].reshape(shape)
        address = self._logits.ctypes.data
        self._binding.bind_output(self._names.logits, "cpu", 0, self._logits.dtype, shape, address)

    def _bind_mask(self, rows: int, width: int) -> None:
        self._mask_shape = (rows, width)
        self._mask_view = self._mask[: rows * width].reshape(rows, width)
        if self._names.attention_mask in self._inputs:
            self._bind(self._names.attention_mask, self._mask, (rows, width))

    def _bind(self, name: str, array: NDArray[Any], shape: tuple[int, int]) -> None:
        self._binding.bind_input(name, "cpu", 0, self._index, shape, array.ctypes.data)
