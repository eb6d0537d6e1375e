"""A counted bound for the memory that graphs on tensors take: the same everywhere, whatever memory the machine has.

How large a graph's tensors become is often for its inputs to say, and those are an agent's. ONNX Runtime takes the
memory of such sessions from one arena that is no larger than `BYTES_MAX`; what does not fit is refused before anything
is allocated. Before each run the arena is given back to how it was at first, so that what fits does not depend on what
ran before: with everything else free, the same requests for memory get the same answers.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np

from turnwise.inference.onnx.protobuf import message, number_field, text_field
from turnwise.inference.onnx.runtime import Session, ort
from turnwise.inference.requests.refusal import Refusal

BYTES_MAX: Final = 4 * 1024 * 1024 * 1024
FIRST_BYTES: Final = 64 * 1024 * 1024
"""The part of the arena that stays between runs, taken when it is first used."""

_FLOAT: Final = 1
_FULL: Final = "is smaller than requested bytes of"


class CountedMemory:
    """The arena of this process. Sessions that use it hold no tensors between runs; their weights lie elsewhere."""

    def __init__(self) -> None:
        arena = {
            "max_mem": BYTES_MAX,
            "arena_extend_strategy": 0,  # by powers of two: only so does the first part stay
            "initial_chunk_size_bytes": FIRST_BYTES,
            "max_dead_bytes_per_chunk": -1,
        }
        place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        ort.create_and_register_allocator(place, ort.OrtArenaCfg(arena))
        settings = ort.SessionOptions()
        settings.log_severity_level = 4
        self.use(settings)
        self._negate: Session = ort.InferenceSession(_negate(), settings, providers=["CPUExecutionProvider"])
        self._shrink = ort.RunOptions()
        self._shrink.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self.clear()

    def use(self, settings: Any) -> None:
        """Let a session of these `SessionOptions` take its memory from the arena."""
        settings.add_session_config_entry("session.use_env_allocators", "1")
        settings.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        settings.enable_mem_pattern = False  # plans memory by earlier runs

    def clear(self) -> None:
        """Give back what earlier runs took. It takes some microseconds."""
        self._negate.run(None, {"x": np.zeros(1, np.float32)}, self._shrink)


@cache
def counted_memory() -> CountedMemory:
    """Return the arena, made when it is first needed."""
    return CountedMemory()


class MemoryRefused(Refusal):
    """Raised where a run would take more memory than the arena has."""

    def __init__(self) -> None:
        super().__init__(
            "refused", f"the model's graph needs more than {BYTES_MAX:,} bytes of memory for these tensors"
        )


def is_full(error: BaseException) -> bool:
    """True if a run failed because it would have taken more than the arena has, and not for a lack of memory."""
    return _FULL in str(error)


def _negate() -> bytes:
    """Return a model whose `y` is minus `x`."""

    def value(name: str) -> bytes:
        shape = message(2, message(1, number_field(1, 1)))
        return text_field(1, name) + message(2, message(1, number_field(1, _FLOAT) + shape))

    node = text_field(1, "x") + text_field(2, "y") + text_field(4, "Neg")
    graph = message(1, node) + text_field(2, "negate") + message(11, value("x")) + message(12, value("y"))
    return number_field(1, 8) + message(8, number_field(2, 17)) + message(7, graph)
