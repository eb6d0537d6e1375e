"""A run of a language model's graph: tokens, places and mask in, logits out, all bound once and filled anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.errors import InvariantError
from turnwise.inference.decoding.binding import Binding
from turnwise.inference.decoding.kv_cache import Kv
from turnwise.inference.decoding.memory_budget import ROUND_UP_TOKENS
from turnwise.inference.decoding.recorded_runs import RecordedRuns
from turnwise.inference.decoding.signature import BRANCH_INPUT, Signature
from turnwise.inference.folders.layouts.layout import GraphNames
from turnwise.inference.onnx.gather_logits import POSITIONS_INPUT
from turnwise.inference.onnx.provider_names import CPU
from turnwise.inference.onnx.runtime import recording
from turnwise.inference.onnx.sessions import Opened


class Call:
    """A binding of the graph with memory of its own for what is not KV cache. Bound anew only where that is needed.

    Logits are computed of `wanted` neighbouring positions, or of all (None). On a device they stay there, and those of
    one position of each row that is somebody's come to the host. With `recorded`, runs of a shape that comes again are
    recorded.
    """

    def __init__(
        self,
        opened: Opened,
        names: GraphNames,
        signature: Signature,
        vocabulary: int,
        kv: Kv,
        wanted: int | None,
        recorded: RecordedRuns | None = None,
    ) -> None:
        device = opened.device
        self._recorded = recorded
        self._options = None if opened.recordings is None else recording(None)
        self._binding = Binding(opened.session, on_host=opened.provider == CPU, device=device)
        for name, array in signature.constants.items():
            self._binding.read(name, array, array.shape)
        self._branch = np.zeros(1, np.bool_) if signature.branch else None
        if self._branch is not None:
            self._binding.read(BRANCH_INPUT, self._branch, (1,))
        self._names = names
        self._logits_name = signature.logits_name
        self._index = signature.index
        self._inputs = signature.inputs
        self._vocabulary = vocabulary
        self._kv = kv
        self._wanted_max = wanted
        self._device = device
        self._pinned: object = None
        self._stays = device is not None
        self._wanted = np.arange(wanted or 0)
        self._bound: tuple[int, int, int, int] | None = None
        self._past = 0
        self._ids = np.empty(0, self._index)
        self._places = np.empty(0, self._index)
        self._mask = np.empty(0, self._index)
        self._mask_view = self._mask.reshape(0, 0)
        self._ones = 0
        self._mask_shape = (0, 0)
        self._logits = np.empty(0, signature.logits)
        self._rows = np.empty(0, np.intp)
        self.mask_known = False
        self.tokens = self._ids.reshape(0, 0)
        self.positions = self._places.reshape(0, 0)
        self._logits_view = self._logits.reshape(0, 0, 0)

    def prepare(self, rows: Sequence[int], count: int, past: int, new: int) -> None:
        """Bind for `new` tokens to each of `count` rows, `rows` first, the longest of which holds `past`."""
        if self._branch is not None:
            self._branch[0] = past > 0
        wanted = (rows[0], count, new, self._kv.version)
        self._past = past
        if wanted == self._bound:
            return
        if self._bound is None or (count, new) != self._bound[1:3]:
            self._bind_tokens(count, new)
        self._kv.bind(self._binding.raw, rows, count, past, new)
        self._bound = wanted

    def mask_ones(self, rows: int, width: int) -> None:
        """Rows all of whose positions count."""
        if rows * width > self._ones:
            self._ones = -(-rows * width // ROUND_UP_TOKENS) * ROUND_UP_TOKENS
            self._mask = np.ones(self._ones, self._index)
            self._mask_shape = (0, 0)
        if self._mask_shape != (rows, width):
            self._bind_mask(rows, width)

    def mask_rows(self, lengths: NDArray[np.int64], width: int) -> None:
        """Row i counts up to and with position `lengths[i]`; as little as possible is written anew."""
        width = -(-width // ROUND_UP_TOKENS) * ROUND_UP_TOKENS
        rows = len(lengths)
        if (rows, width) != self._mask_shape or not self.mask_known:
            self._ones = 0
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

    def run(self, position: int, count: int) -> NDArray[Any]:
        """Logits [count, vocabulary] of new token number `position` of each of the first `count` rows."""
        wanted = self.tokens.shape[1] if self._wanted_max is None else min(self.tokens.shape[1], self._wanted_max)
        first = min(position, self.tokens.shape[1] - wanted)
        if self._wanted_max is not None and self._wanted[0] != first:
            self._wanted[:] = np.arange(first, first + len(self._wanted))

        def fetch() -> NDArray[Any]:
            return self._binding.fetch(self._logits_name, count, position - first, self._logits)

        self._run(fetch)
        found = fetch() if self._stays else self._logits_view[:count, position - first]
        # What is done with logits then is many times slower in fp16, and comes to the same.
        return found.astype(np.float32) if found.dtype == np.float16 else found

    def run_neighbours(self, first: int, count: int) -> NDArray[Any]:
        """Logits [count, vocabulary] of `count` neighbouring new tokens of the one row, from number `first` on."""
        new = self.tokens.shape[1]
        wanted = new if self._wanted_max is None else min(new, self._wanted_max)
        start = min(first, new - wanted)
        if self._wanted_max is not None:
            self._wanted[:] = np.arange(start, start + len(self._wanted))
        self._run(None)
        places = range(first - start, first - start + count)
        if self._stays:
            lines = [self._binding.fetch(self._logits_name, 1, place, self._logits)[0].copy() for place in places]
            found = np.stack(lines)
        else:
            found = self._logits_view[0, places.start : places.stop]
        return found.astype(np.float32) if found.dtype == np.float16 else found

    def _run(self, fetch: Callable[[], NDArray[Any]] | None) -> None:
        if self._recorded is None or fetch is None:
            self._binding.run(self._options)
        else:
            self._recorded.run((self._bound, self._mask_shape), self._binding, self._bind_kv, fetch)
        self._kv.done()

    def _bind_kv(self, raw: Any) -> None:
        if self._bound is None:
            raise InvariantError("a run is prepared before it is recorded")
        row, count, new, _ = self._bound
        self._kv.bind(raw, range(row, row + count), count, self._past, new)

    def _bind_tokens(self, rows: int, new: int) -> None:
        count = rows * new
        if count > len(self._ids):
            self._ids = np.zeros(count, self._index)
            self._places = np.zeros(count, self._index)
        self.tokens = self._ids[:count].reshape(rows, new)
        self.positions = self._places[:count].reshape(rows, new)
        self._binding.read(self._names.input_ids, self._ids, (rows, new))
        if self._names.position_ids in self._inputs:
            self._binding.read(self._names.position_ids, self._places, (rows, new))
        wanted = new if self._wanted_max is None else min(new, self._wanted_max)
        if self._wanted_max is not None:
            self._binding.read(POSITIONS_INPUT, self._wanted, (wanted,))
        shape = (rows, wanted, self._vocabulary)
        size = rows * self._vocabulary * (1 if self._stays else wanted)
        if size > len(self._logits):
            self._logits = np.empty(size, self._logits.dtype)
            self._pinned = None if self._device is None else self._device.pin(self._logits)
        if self._stays:
            self._binding.write_there(self._logits_name, self._logits.dtype, shape)
        else:
            self._logits_view = self._logits[:size].reshape(shape)
            self._binding.write(self._logits_name, self._logits, shape)

    def _bind_mask(self, rows: int, width: int) -> None:
        self._mask_shape = (rows, width)
        self._mask_view = self._mask[: rows * width].reshape(rows, width)
        if self._names.attention_mask in self._inputs:
            self._binding.read(self._names.attention_mask, self._mask, (rows, width))
