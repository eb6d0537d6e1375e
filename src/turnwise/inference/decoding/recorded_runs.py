"""Runs that are recorded once and then launched as one: CUDA graphs, which ONNX Runtime records and replays.

A step launches hundreds of kernels that take less time than it takes to launch them, and so does a piece of a prompt. A
recording holds the kernels with their shapes and addresses, so there is one for each shape of a run, and all that it
reads and writes lies on the device at addresses that stay. It is made when a shape has been seen a few times: that
takes as long as several runs.

A recording is trusted after it gave the logits of the same run launched kernel by kernel, twice: when it was made, and
in the next run of that shape, whose tokens and lengths are others. Until then the answer is that of the kernels. If
they differ, or a recording fails, nothing is recorded any more, and `refused` says why. Where a model's bits are to be
equal, so must these be; where they are given up, kernels differ from themselves, and logits may by `tolerance` of their
spread.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from turnwise.errors import EnvironmentFailure
from turnwise.inference.decoding.binding import Binding, ResidentBinding
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, RunOptions, Session, first_line, recording

RECORDED_AFTER_RUNS: Final = 8
RECORDINGS_MAX: Final = 32
"""Recordings of a model: kernels' parameters take a megabyte or so of the device each."""

SHAPES_MAX: Final = 256
"""Shapes that are counted before they are recorded."""

BindKv = Callable[[Any], None]
Fetch = Callable[[], NDArray[Any]]


@dataclass(slots=True)
class _Recording:
    binding: ResidentBinding
    options: RunOptions
    trusted: bool = False


class RecordedRuns:
    """Runs by recordings, where there are any. `numbers` are free for recordings of this session.

    A shape is recorded when it has been run `after` times. `replays` counts runs by a recording. `tolerance` None: bits
    must be equal.
    """

    def __init__(
        self,
        session: Session,
        numbers: Iterator[int],
        after: int = RECORDED_AFTER_RUNS,
        tolerance: float | None = None,
    ) -> None:
        self.refused: str | None = None
        self.replays = 0
        self._session = session
        self._numbers = numbers
        self._after = after
        self._tolerance = tolerance
        self._seen: OrderedDict[Hashable, int] = OrderedDict()
        self._recordings: OrderedDict[Hashable, _Recording] = OrderedDict()

    def run(self, shape: Hashable, binding: Binding, bind_kv: BindKv, fetch: Fetch) -> None:
        """Run what is bound. `shape` is another wherever shapes or addresses are.

        `bind_kv` binds the KV cache, and `fetch` reads the logits, valid until it reads again.
        """
        if self.refused is not None:
            binding.run(recording(None))
            return
        key = (shape, binding.addresses)
        found = self._recordings.get(key)
        if found is None:
            binding.run(recording(None))
            if self._is_due(key):
                self._record(key, binding, bind_kv, fetch)
            return
        self._recordings.move_to_end(key)
        if found.trusted:
            binding.run_resident(found.binding, found.options)
            self.replays += 1
            return
        self._try_again(found, binding, fetch)

    def _is_due(self, key: Hashable) -> bool:
        self._seen[key] = seen = self._seen.pop(key, 0) + 1
        if len(self._seen) > SHAPES_MAX:
            self._seen.popitem(last=False)
        return seen > self._after

    def _record(self, key: Hashable, binding: Binding, bind_kv: BindKv, fetch: Fetch) -> None:
        """Record what has just run, and compare."""
        expected = fetch().copy()
        number = next(self._numbers)
        try:
            made = _Recording(binding.resident(), recording(number))
        except EnvironmentFailure as error:
            self._refuse(f"its runs cannot be recorded: {error.message}")
            return  # what the kernels answered stands
        weakref.finalize(made.binding, self._session.release_captured_graph, number).atexit = False
        bind_kv(made.binding.raw)
        try:
            binding.run_resident(made.binding, made.options)  # warms up, records, and replays
            binding.run_resident(made.binding, made.options)
        except RUNTIME_ERRORS as error:
            self._refuse(f"its runs cannot be recorded: {first_line(error)}")
        else:
            if self._differs(fetch(), expected):
                self._refuse(f"a recorded run has other {self._what} than its kernels")
        if self.refused is not None:
            binding.run(recording(None))
            return
        del self._seen[key]
        self._recordings[key] = made
        if len(self._recordings) > RECORDINGS_MAX:
            self._recordings.popitem(last=False)

    def _try_again(self, found: _Recording, binding: Binding, fetch: Fetch) -> None:
        """Run by a recording, then kernel by kernel, and compare."""
        binding.run_resident(found.binding, found.options)
        seen = fetch().copy()
        binding.run(recording(None))
        if self._differs(seen, fetch()):
            self._refuse(f"what was recorded before has other {self._what} than its kernels")
        else:
            found.trusted = True

    @property
    def _what(self) -> str:
        return "bits" if self._tolerance is None else "logits"

    def _differs(self, seen: NDArray[Any], expected: NDArray[Any]) -> bool:
        if self._tolerance is None:
            return not np.array_equal(seen.view(np.uint8), expected.view(np.uint8))
        first, second = seen.astype(np.float32), expected.astype(np.float32)
        usable = np.isfinite(second)
        if not np.array_equal(np.isfinite(first), usable):
            return True
        apart = np.sqrt(np.mean((first[usable] - second[usable]) ** 2))
        return bool(apart > self._tolerance * (second[usable].std() or 1.0))

    def _refuse(self, seen: str) -> None:
        self.refused = seen
        self._recordings.clear()
        self._seen.clear()
