"""The carrier for core modules by wasmtime's Python interface: what `c_module` does faster, and its fallback.

A module exports `memory`, `turnwise_alloc(size: i32) -> i32` and `turnwise_turn(ptr: i32, len: i32) -> i64`, and may
import `turnwise.effect(ptr: i32, len: i32) -> i64`, `turnwise.effect_bytes`, which takes pointer and length of bytes as
well, and functions of WASI 0.2 (`wasi_core`). Texts pass through linear memory as (pointer, length), in a result
as `ptr << 32 | len`. What the host hands over lies where `turnwise_alloc` says; 0 means that there is no memory left.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import cast

import wasmtime

from turnwise.errors import InvariantError
from turnwise.sandbox.execute.execution import Ended, Execution, ExecutionOutcome
from turnwise.sandbox.execute.host_imports import HostImport, host_imports
from turnwise.sandbox.execute.module_turn import TABLE_ELEMENTS_MAX, TABLES_MAX, U32_MASK, ModuleTurn
from turnwise.sandbox.execute.traps import outcome_of_error


class ModuleCarrier:
    """Carrier of one compiled core module, whose turns are executed each in a store and an instance of its own."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module) -> None:
        self._engine = engine
        linker = wasmtime.Linker(engine)
        i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
        linker.define_func("turnwise", "effect", wasmtime.FuncType([i32] * 2, [i64]), self._effect)
        linker.define_func("turnwise", "effect_bytes", wasmtime.FuncType([i32] * 4, [i64]), self._effect_bytes)
        for item in host_imports(module):
            linker.define_func(item.module, item.name, item.type, self._host(item))
        self._pre = linker.instantiate_pre(module)
        self._turn: _Turn | None = None

    def execute(self, execution: Execution) -> tuple[ExecutionOutcome, int]:
        """Run `execution` to its end; return its outcome and the fuel that it used."""
        store = wasmtime.Store(self._engine)
        try:
            store.set_limits(
                memory_size=execution.memory_bytes,
                table_elements=TABLE_ELEMENTS_MAX,
                instances=1,
                tables=TABLES_MAX,
                memories=1,
            )
            store.set_fuel(execution.fuel)
            self._turn = turn = _Turn(store, execution)
            outcome = turn.run(self._pre)
            return execution.settle(outcome, execution.fuel - store.get_fuel())
        finally:
            self._turn = None
            store.close()

    def _effect(self, *arguments: int) -> int:
        return self._at_work().effect(*arguments)

    def _effect_bytes(self, *arguments: int) -> int:
        return self._at_work().effect_bytes(*arguments)

    def _at_work(self) -> _Turn:
        if self._turn is None:
            raise InvariantError("a host function was called while no turn is executed")
        return self._turn

    def _host(self, item: HostImport) -> Callable[..., int | None]:
        answer, masks, result_bits = item.answer, item.masks, item.result_bits

        def call(*arguments: int) -> int | None:
            values = [value & mask for value, mask in zip(arguments, masks, strict=True)]
            result = self._at_work().answer(answer, values)
            if result is None:
                return None
            return result - (1 << result_bits) if result >> (result_bits - 1) else result

        return call


class _Turn(ModuleTurn):
    """An instance at work, called through objects of wasmtime's Python interface."""

    __slots__ = ("_alloc", "_memory", "_store")

    def __init__(self, store: wasmtime.Store, execution: Execution) -> None:
        self._store = store
        self.execution = execution
        self._open = False
        self._wasi = None
        self._memory: wasmtime.Memory | None = None

    def run(self, pre: wasmtime.InstancePre) -> ExecutionOutcome:
        execution = self.execution
        try:
            exports = pre.instantiate(self._store).exports(self._store)
            self._memory = cast("wasmtime.Memory", exports["memory"])
            self._alloc = cast("wasmtime.Func", exports["turnwise_alloc"])
            turn = cast("wasmtime.Func", exports["turnwise_turn"])
            pointer = self.place(execution.input)
            return self.output(turn(self._store, pointer, len(execution.input)))
        except Ended as ended:
            return ended.outcome
        except wasmtime.Trap as trap:
            return self.trapped(trap, None if self._memory is None else self.memory_bytes())
        except wasmtime.WasmtimeError as error:
            return outcome_of_error(error, execution.fuel)

    def alloc(self, size: int) -> int:
        return int(self._alloc(self._store, size)) & U32_MASK

    def memory_bytes(self) -> int:
        assert self._memory is not None
        return int(self._memory.data_len(self._store))

    def memory_address(self) -> int:
        assert self._memory is not None
        return ctypes.addressof(self._memory.data_ptr(self._store).contents)
