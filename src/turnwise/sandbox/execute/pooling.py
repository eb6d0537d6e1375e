"""An engine whose instances live in memory that is reserved once: wasmtime's pooling allocator.

Without it, every instance maps some 4 GiB of address space and gives it back, which is most of what is left of a small
turn's time. With it there is one slot, of one instance, since a worker executes one turn at a time: every turn is in
the place of the one before. The allocator resets what that one has written; `tests/sandbox/execute/test_pooling.py`
shows it for memory, tables and globals.

Compiled code is the same: an engine of either kind loads what the other has made, and counts the same fuel. A module
that does not fit into the slot is not loaded here; it is executed without it. So is everything where address space is
bounded, since what is reserved for good would be missing elsewhere.
"""

from __future__ import annotations

import mmap
import sys
from typing import Any, Final

import wasmtime
from wasmtime import _bindings

from turnwise.sandbox.execute import page_scan
from turnwise.sandbox.execute.engine import make_config
from turnwise.sandbox.execute.module_turn import TABLE_ELEMENTS_MAX, TABLES_MAX

SLOTS: Final = 1
"""Instances that can exist at a time; also memories. A store that was not deleted is noticed by the next turn."""

MEMORY_BYTES: Final = 4 * 1024**3
"""Address space of a memory, all that 32 bits reach. The limit of a turn is kept by its store."""

ADDRESS_BYTES: Final = MEMORY_BYTES + 256 * 1024 * 1024
"""Bound of the address space that the allocator reserves: its memory with guards on both sides, and tables."""

INSTANCE_BYTES_MAX: Final = 1024 * 1024
"""Bound of the engine's own record of an instance: its globals, functions and imports."""

RESET_BYTES: Final = 64 * 1024
"""Beginning of a memory, and of a table, that is written over after a turn; what lies behind is given back.

Writing over costs less than giving back, which costs a page fault for each page that the next turn touches, as long as
most of it was in use; small modules have one page of 64 KiB.
"""

INTERPRETER_RESET_BYTES: Final = 2 * 1024 * 1024
"""The same for interpreters whose whole memory it is, as it is stored, in an engine of their own.

A turn of JavaScript writes to some 45 pages of it, strewn among those that it reads. Writing over all of it costs less
than as many page faults. The memory of Python is ten times as large, and has the slot of other modules.
"""

INTERPRETER_MEMORY_BYTES_MAX: Final = 4 * 1024 * 1024
"""Memory, at first, up to which an interpreter has that engine. Of a larger one too little would be written over."""

SETTINGS: Final = (
    ("total_core_instances", SLOTS),
    ("total_memories", SLOTS),
    ("total_tables", SLOTS * TABLES_MAX),
    ("total_component_instances", 0),
    ("total_gc_heaps", 0),
    ("total_stacks", 0),
    ("max_core_instance_size", INSTANCE_BYTES_MAX),
    ("max_memories_per_module", 1),
    ("max_memory_size", MEMORY_BYTES),
    ("max_tables_per_module", TABLES_MAX),
    ("table_elements", TABLE_ELEMENTS_MAX),
    ("max_unused_warm_slots", SLOTS),
    ("decommit_batch_size", 1),
    ("table_keep_resident", RESET_BYTES),
)
"""Settings of the allocator by their names in the C library; what it keeps of a memory depends on the engine."""


def has_room() -> bool:
    """Return whether the system lets this process reserve the address space, by doing it for a moment.

    The library ends the process where it is refused.
    """
    if sys.platform == "win32":
        return True  # what is reserved there and not used is not counted
    try:
        mmap.mmap(-1, ADDRESS_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0).close()
    except (OSError, MemoryError):
        return False
    return True


def make_pooling_engine(reset_bytes: int = RESET_BYTES) -> wasmtime.Engine:
    """Return a new engine like that of `engine.make_engine`, with one slot. Only if there is room for it.

    After a turn, the first `reset_bytes` of its memory are written over, and the rest is given back.

    Not for the builder, whose address space is bounded and whose components need several instances.
    """
    allocator = _bindings.wasmtime_pooling_allocation_config_new()
    try:
        return _make(allocator, reset_bytes)
    finally:
        _bindings.wasmtime_pooling_allocation_config_delete(allocator)


def make_scanning_engine() -> wasmtime.Engine | None:
    """Return such an engine that writes over only what a turn wrote to; None where that is not possible.

    What carriers execute on it has to be mapped first: `page_scan.populate`.
    """
    allocator = _bindings.wasmtime_pooling_allocation_config_new()
    try:
        if not page_scan.switch_on(allocator):
            return None
        engine = _make(allocator, page_scan.SCANNED_BYTES)
    except wasmtime.WasmtimeError:  # of a Linux that cannot scan
        return None
    finally:
        _bindings.wasmtime_pooling_allocation_config_delete(allocator)
    return engine if page_scan.is_open() else None


def _make(allocator: Any, reset_bytes: int) -> wasmtime.Engine:
    config = make_config()
    for name, value in (*SETTINGS, ("linear_memory_keep_resident", reset_bytes)):
        getattr(_bindings, f"wasmtime_pooling_allocation_config_{name}_set")(allocator, value)
    _bindings.wasmtime_pooling_allocation_strategy_set(config.ptr(), allocator)
    return wasmtime.Engine(config)
