"""Memory for a graph's KV cache: the kind that it needs where it runs, and how much of it there is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from turnwise.errors import EnvironmentFailure
from turnwise.inference.decoding.graph_form import form_of
from turnwise.inference.decoding.growing_kv_cache import GrowingKv
from turnwise.inference.decoding.kv_cache import BlockMemory, InPlaceKv, Kv, KvBlocks
from turnwise.inference.decoding.memory_budget import MEMORY_SHARE, Budget, budget
from turnwise.inference.decoding.slab import KvShape, new_slab
from turnwise.inference.decoding.staged_kv_cache import STAGED_COST, StagedKv
from turnwise.inference.decoding.tensor_slab import TensorSlab
from turnwise.inference.decoding.windowed_kv import WindowedKv
from turnwise.inference.folders.model_folder import ModelFolder
from turnwise.inference.onnx.provider_names import CPU
from turnwise.inference.onnx.sessions import Opened
from turnwise.inference.plans.kv_sizes import BLOCK_TOKENS, window_row_positions
from turnwise.system.memory import memory_bytes

UNBOUNDED_BYTES: Final = 1 << 62

DEVICE_MEMORY_SHARE: Final = 2
"""Of a device's free memory, one part in so many is for KV cache: while rows grow, both sizes of them are there."""

UNKNOWN_DEVICE_BYTES: Final = 8 << 30
"""Most memory for KV cache on a device that does not say how much it has. Rows take it as they are needed."""

GROWING_COST: Final = 2
"""A cache that grows takes as much memory again while it is read and written."""


@dataclass(frozen=True, slots=True)
class KvPlace:
    """The place of a graph's cache.

    - `in_place`: past and present are one buffer, in rows
    - `staged`: prompts run beside the rows, on a device that knows whole tensors only
    - `windowed`: layers that look at a window keep no more than that
    - `on_device`: not in the host's memory
    """

    in_place: bool
    staged: bool
    windowed: bool
    on_device: bool

    @property
    def name(self) -> str:
        """Words for people."""
        return "in_place with a window" if self.windowed else "in_place" if self.in_place else "growing"


def kv_place(folder: ModelFolder, opened: Opened) -> KvPlace:
    """Find where a graph's cache lies. Raises EnvironmentFailure if a window cannot be kept there."""
    # Where the memory of a device is not had from here, ONNX Runtime copies, and the cache grows on the host.
    on_device = opened.device is not None or opened.tensors is not None
    in_place = not form_of(folder.layout.graph).growing and (opened.provider == CPU or on_device)
    windowed = folder.layout.kv_window > 0
    if windowed and (on_device or not in_place):
        raise EnvironmentFailure(
            f"kv_window is for models whose cache lies in the host's memory, and this one runs on {opened.provider}"
        )
    return KvPlace(in_place, in_place and opened.tensors is not None, windowed, on_device)


class KvMemory:
    """The cache of the sequences that run, and blocks of prompts that ran.

    - `budget`: what it holds on this machine
    - `budget_of_any`: the same of a machine with memory for everything
    - `kv`: the cache, which is one of `growing`, `windowed`, `staged` and `rows` (in place, at addresses)
    - `blocks`: of kept prompts; None where none are kept
    """

    def __init__(
        self,
        folder: ModelFolder,
        opened: Opened,
        shape: KvShape,
        place: KvPlace,
        kv_bytes_max: int | None,
        *,
        rows_max: int,
        rows_spare: int,
        row_positions_min: int,
        cached: bool,
    ) -> None:
        """At most `rows_max` rows of sequences, and `rows_spare` others; see `memory_budget.budget`."""
        device, tensors = opened.device, opened.tensors
        cost = STAGED_COST if place.staged else 1 if place.in_place else GROWING_COST
        windows = frozenset(folder.layout.graph.windowed) if place.windowed else frozenset()
        budget_of = partial(
            budget,
            bytes_per_token=shape.bytes_per_token * cost,
            window_bytes_per_token=len(windows) * shape.heads * shape.line_bytes,
            window_row_positions=window_row_positions(folder.layout.kv_window) if place.windowed else 0,
            context_length=folder.layout.context_length,
            rows_max=rows_max,
            rows_spare=rows_spare,
            row_positions_min=row_positions_min,
            cached=cached,
        )
        if device is not None:
            free = device.free_bytes() // DEVICE_MEMORY_SHARE
            kv_bytes_max = free if kv_bytes_max is None else min(kv_bytes_max, free)
        elif place.staged:
            usual = memory_bytes() // MEMORY_SHARE if kv_bytes_max is None else kv_bytes_max
            kv_bytes_max = min(usual, UNKNOWN_DEVICE_BYTES)
        self.budget: Budget = budget_of(kv_bytes_max)
        self.budget_of_any: Budget = budget_of(UNBOUNDED_BYTES)
        rows, positions = self.budget.rows_max + self.budget.rows_spare, self.budget.positions_max
        self.growing: GrowingKv | None = None
        self.windowed: WindowedKv | None = None
        self.staged: StagedKv | None = None
        self.rows: InPlaceKv | None = None
        self.kv: Kv
        if place.staged and tensors is not None:
            self.kv = self.staged = StagedKv(shape, tensors, rows, positions)
        elif place.windowed:
            self.kv = self.windowed = WindowedKv(shape, windows, folder.layout.kv_window, rows, positions)
        elif place.in_place:
            self.kv = self.rows = InPlaceKv(shape, device, rows, positions)
        else:
            self.kv = self.growing = GrowingKv(shape, device, self.budget.rows_spare)
        blocks = self.budget.blocks
        self.blocks = KvBlocks(_block_memory(shape, blocks, opened)) if blocks else None


def _block_memory(shape: KvShape, blocks: int, opened: Opened) -> BlockMemory:
    if opened.tensors is not None:
        return TensorSlab(shape, blocks, BLOCK_TOKENS, opened.tensors)
    return new_slab(shape, blocks, BLOCK_TOKENS, opened.device)
