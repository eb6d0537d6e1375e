"""The carrier for core modules: C, Zig, Rust, AssemblyScript, WAT. Small and fast.

A module exports `memory`, `turnwise_alloc(size: i32) -> i32` and `turnwise_turn(ptr: i32, len: i32) -> i64`, and may
import `turnwise.effect(ptr: i32, len: i32) -> i64`. Texts pass through linear memory as (pointer, length), in a result
as `ptr << 32 | len`. What the host hands over lies where `turnwise_alloc` says; 0 means that there is no memory left.

Nothing that a guest says about its memory is believed: every pointer is taken as unsigned and checked against the
memory's size at that moment, and what it gives away is copied out before anything else happens.
"""

from __future__ import annotations

import ctypes
from typing import cast

import wasmtime

from turnwise.core.turn import FailureClass
from turnwise.errors import InvariantError
from turnwise.sandbox.execute.execution import Ended, Execution, ExecutionOutcome, failed
from turnwise.sandbox.execute.traps import outcome_of_error, outcome_of_trap

TABLE_ELEMENTS_MAX = 65_536
TABLES_MAX = 8
PAGE_BYTES = 65_536
U32_MASK = 0xFFFF_FFFF


class ModuleCarrier:
    """Carrier of one compiled core module, whose turns are executed each in a store and an instance of its own."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module) -> None:
        self._engine = engine
        linker = wasmtime.Linker(engine)
        i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
        linker.define_func("turnwise", "effect", wasmtime.FuncType([i32, i32], [i64]), self._effect)
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
            return outcome, execution.fuel - store.get_fuel()
        finally:
            self._turn = None
            store.close()

    def _effect(self, pointer: int, length: int) -> int:
        if self._turn is None:
            raise InvariantError("a host function was called while no turn is executed")
        return self._turn.effect(pointer, length)


class _Turn:
    """An instance at work: the texts that pass between it and the host.

    `_open` is true while the guest may call `effect`: in `turnwise_turn`, not in a start function or the allocator,
    where a call would nest without end.
    """

    __slots__ = ("_alloc", "_execution", "_memory", "_open", "_store")

    def __init__(self, store: wasmtime.Store, execution: Execution) -> None:
        self._store = store
        self._execution = execution
        self._open = False

    def run(self, pre: wasmtime.InstancePre) -> ExecutionOutcome:
        execution = self._execution
        memory: wasmtime.Memory | None = None
        try:
            exports = pre.instantiate(self._store).exports(self._store)
            self._memory = memory = cast("wasmtime.Memory", exports["memory"])
            self._alloc = cast("wasmtime.Func", exports["turnwise_alloc"])
            turn = cast("wasmtime.Func", exports["turnwise_turn"])
            pointer = self._place(execution.input)
            packed = turn(self._store, pointer, len(execution.input))
            return ExecutionOutcome("completed", self._take(packed >> 32 & U32_MASK, packed & U32_MASK, "output"))
        except Ended as ended:
            return ended.outcome
        except wasmtime.Trap as trap:
            outcome = outcome_of_trap(trap, execution.fuel)
            if memory is None or outcome.failure is not FailureClass.TRAP:
                return outcome
            return memory_full(outcome, memory.data_len(self._store), execution.memory_bytes)
        except wasmtime.WasmtimeError as error:
            return outcome_of_error(error, execution.fuel)

    def effect(self, pointer: int, length: int) -> int:
        if not self._open:
            message = "`effect` can be called from `turnwise_turn` only, not from a start function or `turnwise_alloc`"
            raise self._execution.fail(FailureClass.FORBIDDEN, message)
        request = self._take(pointer & U32_MASK, length & U32_MASK, "effect request")
        reply = self._execution.effect(request)
        packed = self._place(reply) << 32 | len(reply)
        return packed - (1 << 64) if packed >> 63 else packed

    def _place(self, text: bytes) -> int:
        """Ask the guest for room, copy `text` there and return its address."""
        size = len(text)
        if size > U32_MASK >> 1:
            raise self._execution.fail(FailureClass.MEMORY, f"{size} bytes do not fit into the memory of a module")
        self._open = False
        pointer: int = self._alloc(self._store, size) & U32_MASK
        self._open = True
        memory_bytes = self._memory.data_len(self._store)
        if pointer == 0:
            message = f"`turnwise_alloc({size})` returned 0: no memory left ({self._limit_text(memory_bytes)})"
            raise self._execution.fail(FailureClass.MEMORY, message)
        if pointer + size > memory_bytes:
            message = f"`turnwise_alloc({size})` returned {pointer}, beyond the memory of {memory_bytes} bytes"
            raise self._execution.fail(FailureClass.TRAP, message)
        ctypes.memmove(ctypes.addressof(self._memory.data_ptr(self._store).contents) + pointer, text, size)
        return pointer

    def _take(self, pointer: int, length: int, what: str) -> bytes:
        """Copy out the text that the guest gives away: bounded, inside its memory, and UTF-8."""
        if length > self._execution.output_bytes_max:
            raise self._execution.fail(FailureClass.OUTPUT_SIZE, too_large(what, length, self._execution))
        memory_bytes = self._memory.data_len(self._store)
        if pointer + length > memory_bytes:
            message = f"the {what} ({length} bytes at {pointer}) lies beyond the memory of {memory_bytes} bytes"
            raise self._execution.fail(FailureClass.TRAP, message)
        if length == 0:
            return b""
        text = ctypes.string_at(ctypes.addressof(self._memory.data_ptr(self._store).contents) + pointer, length)
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._execution.fail(FailureClass.OUTPUT, f"the {what} is not UTF-8: {error}") from None
        return text

    def _limit_text(self, memory_bytes: int) -> str:
        return f"{memory_bytes} of at most {self._execution.memory_bytes} bytes are in use; see `memory_mib`"


def too_large(what: str, length: int, execution: Execution) -> str:
    """Return the message for an output or request over its limit."""
    return f"the {what} has {length} bytes; at most {execution.output_bytes_max} are allowed"


def memory_full(trap: ExecutionOutcome, memory_bytes: int, limit_bytes: int) -> ExecutionOutcome:
    """Turn a trap into a lack of memory if the guest's memory is full: it asked for more in vain and gave up."""
    if memory_bytes + PAGE_BYTES <= limit_bytes:
        return trap
    message = trap.body.decode() + f"\nlinear memory is full ({memory_bytes} of at most {limit_bytes} bytes)"
    return failed(FailureClass.MEMORY, message)
