"""Loading of compiled core modules, and the choice of how each is executed."""

from __future__ import annotations

import contextlib
from typing import Protocol

import wasmtime

from turnwise.sandbox.execute import c_library
from turnwise.sandbox.execute.c_module import CModuleCarrier
from turnwise.sandbox.execute.execution import Execution, ExecutionOutcome
from turnwise.sandbox.execute.headroom import address_space_is_bounded
from turnwise.sandbox.execute.module import ModuleCarrier
from turnwise.sandbox.execute.module_turn import PAGE_BYTES
from turnwise.sandbox.execute.pooling import (
    INTERPRETER_MEMORY_BYTES_MAX,
    INTERPRETER_RESET_BYTES,
    RESET_BYTES,
    has_room,
    make_pooling_engine,
    make_scanning_engine,
)
from turnwise.sandbox.execute.switches import Switches


class Carrier(Protocol):
    """Interface of a carrier: executes turns of one piece of compiled code."""

    def execute(self, execution: Execution) -> tuple[ExecutionOutcome, int]: ...


class ModuleLoader:
    """Loader of core modules, in the fastest way that `switches` and this machine allow.

    `engine` is for modules that do not fit into the slot of the other engine, which is made for the first module.
    Interpreters have slots of their own: where the memory is small, it is written over as a whole after a turn; where
    it is large, the pages that the turn wrote to.
    """

    def __init__(self, engine: wasmtime.Engine, switches: Switches) -> None:
        self._engine = engine
        self._switches = switches
        self._pooling: dict[int, wasmtime.Engine | None] = {}
        self._scanning: wasmtime.Engine | None = None
        self._scanning_tried = False

    def load(self, path: str, *, is_interpreter: bool = False) -> Carrier:
        """Load compiled code from `path`. Raises `WasmtimeError`."""
        module = wasmtime.Module.deserialize_file(self._engine, path)
        is_written_over = is_interpreter and _memory_bytes(module) <= INTERPRETER_MEMORY_BYTES_MAX
        scanning = self._scanning_engine() if is_interpreter and not is_written_over else None
        if scanning is not None:
            with contextlib.suppress(wasmtime.WasmtimeError):  # it does not fit
                return CModuleCarrier(scanning, wasmtime.Module.deserialize_file(scanning, path), is_scanned=True)
        pooling = self._pooling_engine(INTERPRETER_RESET_BYTES if is_written_over else RESET_BYTES)
        if pooling is not None:
            try:
                return module_carrier(pooling, wasmtime.Module.deserialize_file(pooling, path), self._switches)
            except wasmtime.WasmtimeError:
                pass  # it does not fit
        return module_carrier(self._engine, module, self._switches)

    def _scanning_engine(self) -> wasmtime.Engine | None:
        if not self._scanning_tried:
            self._scanning_tried = True
            switches = self._switches
            wanted = switches.pool and switches.c_library and c_library.is_as_described()
            if wanted and not address_space_is_bounded() and has_room():
                self._scanning = make_scanning_engine()
        return self._scanning

    def _pooling_engine(self, reset_bytes: int) -> wasmtime.Engine | None:
        if reset_bytes not in self._pooling:
            wanted = self._switches.pool and not address_space_is_bounded() and has_room()
            self._pooling[reset_bytes] = make_pooling_engine(reset_bytes) if wanted else None
        return self._pooling[reset_bytes]


def _memory_bytes(module: wasmtime.Module) -> int:
    """Return the size of the memories that a module exports, as they are at first."""
    kinds = (item.type for item in module.exports)
    return PAGE_BYTES * sum(kind.limits.min for kind in kinds if isinstance(kind, wasmtime.MemoryType))


def module_carrier(engine: wasmtime.Engine, module: wasmtime.Module, switches: Switches) -> Carrier:
    """Return the fastest carrier of a core module that `switches` and the installed library allow."""
    if switches.c_library and c_library.is_as_described():
        return CModuleCarrier(engine, module)
    return ModuleCarrier(engine, module)
