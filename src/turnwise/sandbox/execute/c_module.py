"""The carrier for core modules by wasmtime's C library: what `module` does, without a Python object for every call.

What it calls with are buffers that are made once for a carrier and live as long as it. A module is linked once; a turn
makes a store, an instance of the linked module, and two calls. Whatever is no completed turn becomes an object of
wasmtime's Python interface at the end, so that its text and its class are those that the other carrier finds.

Lifetimes: the linked module holds the host function, and this object holds both, so a guest cannot call what is freed.
A store is deleted before the next is made; an address in a guest's memory is not kept beyond the copy that needs it,
since memory moves when it grows. What a host function raises is kept until the guest has been left by a trap: nothing
may unwind through the library. One thread uses a carrier at a time, and a process that forks does not take it along.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Final

import wasmtime
from wasmtime import _bindings

from turnwise.errors import InvariantError
from turnwise.sandbox.execute import c_library as c
from turnwise.sandbox.execute.execution import Ended, Execution, ExecutionOutcome
from turnwise.sandbox.execute.host_imports import HostImport, host_imports
from turnwise.sandbox.execute.module_turn import TABLE_ELEMENTS_MAX, TABLES_MAX, U32_MASK, ModuleTurn
from turnwise.sandbox.execute.page_scan import POPULATED_EVERY, POPULATED_FIRST, populate
from turnwise.sandbox.execute.traps import outcome_of_error

SIGNATURES: Final = {
    "memory": None,
    "turnwise_alloc": (["i32"], ["i32"]),
    "turnwise_turn": (["i32", "i32"], ["i64"]),
}
"""Exports by their parameters and results; None: a memory. The library believes whoever calls a function."""

TRAP_TEXT: Final = b"the host ended the execution"
MEMORY, ALLOC, TURN = (name.encode() for name in SIGNATURES)
VALUES_MAX: Final = 2

NOTHING: Final = Execution(b"", (), 0, 0, 0)
"""Execution of a carrier between turns, so that it keeps no texts."""

_no_finalizer = ctypes.CFUNCTYPE(None, c.Pointer)()


class _Unfinished(Exception):
    """Mark of a host function that was entered and is not left yet."""


class _CallBuffers:
    """Buffers of one call into a guest: arguments and results, and the trap that it may end with."""

    __slots__ = ("_trap", "_values", "integers", "trap_address", "values_address")

    def __init__(self) -> None:
        self._values = ctypes.create_string_buffer(VALUES_MAX * c.VALUE_BYTES)
        self._trap = c.Pointer()
        self.values_address = ctypes.addressof(self._values)
        self.trap_address = ctypes.addressof(self._trap)
        self.integers = (ctypes.c_int64 * (VALUES_MAX * c.VALUE_BYTES // 8)).from_buffer(self._values)

    def take_trap(self) -> int | None:
        """Return the trap, which the caller owns from now on, or None."""
        trap = self._trap.value
        if trap is not None:
            self._trap.value = None
        return trap


class CModuleCarrier(ModuleTurn):
    """Carrier of one compiled core module, whose turns are executed each in a store and an instance of its own.

    It is the instance at work as well, one after the other.
    """

    __slots__ = (
        "_alloc_address",
        "_bytes_callback",
        "_callback",
        "_context",
        "_engine",
        "_engine_address",
        "_export_addresses",
        "_exports",
        "_fuel",
        "_fuel_address",
        "_host_callback",
        "_imports",
        "_inner",
        "_instance",
        "_instance_address",
        "_is_scanned",
        "_linker",
        "_memory_address",
        "_outer",
        "_pre",
        "_pre_address",
        "_raised",
        "_running",
        "_turn_address",
        "_turns",
    )

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module, *, is_scanned: bool = False) -> None:
        _check_exports(module)
        self._engine = engine
        self._engine_address = _address(engine.ptr())
        self._callback = c.EffectCallback(self._effect)
        self._bytes_callback = c.EffectCallback(self._effect_bytes)
        self._host_callback = c.EffectCallback(self._host)
        self._imports = host_imports(module)
        effects = {"effect": (2, self._callback), "effect_bytes": (4, self._bytes_callback)}
        self._linker = _linker(engine, effects, self._imports, self._host_callback)
        self._pre = self._linker.instantiate_pre(module)
        self._pre_address = _address(self._pre.ptr())
        self._instance = ctypes.create_string_buffer(c.INSTANCE_BYTES)
        self._instance_address = ctypes.addressof(self._instance)
        self._exports = [ctypes.create_string_buffer(c.EXTERN_BYTES) for _ in SIGNATURES]
        self._export_addresses = tuple(map(ctypes.addressof, self._exports))
        self._memory_address, self._alloc_address, self._turn_address = (
            address + c.EXTERN_VALUE_OFFSET for address in self._export_addresses
        )
        self._fuel = ctypes.c_uint64()
        self._fuel_address = ctypes.addressof(self._fuel)
        self._outer = _CallBuffers()
        self._inner = _CallBuffers()  # of the allocator, when a host function calls it while the turn's call goes on
        self.execution = NOTHING
        self._context: int | None = None
        self._raised: BaseException | None = None
        self._running = False
        self._wasi = None
        self._is_scanned = is_scanned
        self._turns = 0

    def execute(self, execution: Execution) -> tuple[ExecutionOutcome, int]:
        """Run `execution` to its end; return its outcome and the fuel that it used."""
        if self._running:
            raise InvariantError("a carrier was asked for a turn while another is executed")
        self._running = True
        store = c.store_new(self._engine_address, None, None)
        try:
            self._context = context = c.store_context(store)
            c.store_limiter(store, execution.memory_bytes, TABLE_ELEMENTS_MAX, 1, TABLES_MAX, 1)
            if c.context_set_fuel(context, execution.fuel):
                raise InvariantError("the engine does not count fuel")
            self.execution = execution
            outcome = self._run(context)
            if c.context_get_fuel(context, self._fuel_address):
                raise InvariantError("the engine does not count fuel")
            return execution.settle(outcome, execution.fuel - self._fuel.value)
        finally:
            self._context = self._raised = self._wasi = None
            c.store_delete(store)
            self.execution = NOTHING
            self._running = False

    def _run(self, context: int) -> ExecutionOutcome:
        execution = self.execution
        outer = self._outer
        instantiated = False
        self._open = False
        try:
            error = c.instance_pre_instantiate(self._pre_address, context, self._instance_address, outer.trap_address)
            self._check(error, outer)
            self._find_exports(context)
            instantiated = True
            if self._is_scanned:
                if self._turns < POPULATED_FIRST or self._turns % POPULATED_EVERY == 0:
                    populate(self.memory_address(), self.memory_bytes())
                self._turns += 1
            pointer = self.place(execution.input)
            integers = outer.integers
            integers[0] = pointer
            integers[2] = len(execution.input)
            error = c.func_call_unchecked(context, self._turn_address, outer.values_address, 2, outer.trap_address)
            self._check(error, outer)
            return self.output(integers[0])
        except Ended as ended:
            return ended.outcome
        except wasmtime.Trap as trap:
            return self.trapped(trap, self.memory_bytes() if instantiated else None)
        except wasmtime.WasmtimeError as error:
            return outcome_of_error(error, execution.fuel)

    def _find_exports(self, context: int) -> None:
        """Look up the exports of the new instance. Their types were checked when the module was loaded."""
        instance = self._instance_address
        memory, alloc, turn = self._export_addresses
        if not (
            c.instance_export_get(context, instance, MEMORY, len(MEMORY), memory)
            and c.instance_export_get(context, instance, ALLOC, len(ALLOC), alloc)
            and c.instance_export_get(context, instance, TURN, len(TURN), turn)
        ):
            raise InvariantError("an instance lacks what its module exports")

    def alloc(self, size: int) -> int:
        buffers = self._inner
        integers = buffers.integers
        integers[0] = size
        mark, self._raised = self._raised, None  # of the host function that calls, if one does
        error = c.func_call_unchecked(
            self._context, self._alloc_address, buffers.values_address, 1, buffers.trap_address
        )
        self._check(error, buffers)
        self._raised = mark
        return integers[0] & U32_MASK

    def memory_bytes(self) -> int:
        return c.memory_data_size(self._context, self._memory_address)  # type: ignore[no-any-return]

    def memory_address(self) -> int:
        return c.memory_data(self._context, self._memory_address)  # type: ignore[no-any-return]

    def _check(self, error: int | None, buffers: _CallBuffers) -> None:
        """Raise what a call ended with: what a host function raised, else the trap or the error itself."""
        trap = buffers.take_trap()
        raised = self._raised
        if error is None and trap is None and raised is None:
            return
        self._raised = None
        failure: Exception | None = None
        if error is not None:
            failure = wasmtime.WasmtimeError._from_ptr(ctypes.cast(error, ctypes.POINTER(_bindings.wasmtime_error_t)))
        elif trap is not None:
            failure = wasmtime.Trap._from_ptr(ctypes.cast(trap, ctypes.POINTER(_bindings.wasm_trap_t)))
        if failure is None or raised is _UNFINISHED:
            raise InvariantError("a host function was entered and not left", actual=repr(raised))
        try:
            raise failure if raised is None else raised
        finally:
            del failure, raised  # else each would hold this frame, which holds it, until garbage is collected

    def _effect(self, _: int | None, caller: int, values: int, count: int) -> int:
        """Be called by the guest. All that is raised here is kept, and ends the guest by a trap."""
        try:
            self._raised = _UNFINISHED
            if self._context is None or c.caller_context(caller) != self._context:
                raise InvariantError("a host function was called while no turn is executed")
            integers = (ctypes.c_int64 * (VALUES_MAX * c.VALUE_BYTES // 8)).from_address(values)
            result = self.effect(integers[0], integers[2])
            integers[0] = result
            self._raised = None
            return 0
        except BaseException as error:
            self._raised = error
            return c.trap_new(TRAP_TEXT, len(TRAP_TEXT))  # type: ignore[no-any-return]

    def _effect_bytes(self, _: int | None, caller: int, values: int, count: int) -> int:
        """Be called by the guest, as `_effect` is."""
        try:
            self._raised = _UNFINISHED
            if self._context is None or c.caller_context(caller) != self._context:
                raise InvariantError("a host function was called while no turn is executed")
            integers = (ctypes.c_int64 * (count * c.VALUE_BYTES // 8)).from_address(values)
            integers[0] = self.effect_bytes(*integers[: 2 * count : 2])
            self._raised = None
            return 0
        except BaseException as error:
            self._raised = error
            return c.trap_new(TRAP_TEXT, len(TRAP_TEXT))  # type: ignore[no-any-return]

    def _host(self, number: int | None, caller: int, values: int, count: int) -> int:
        """Be called by the guest for the function of WASI that is `number` among the imports."""
        try:
            self._raised = _UNFINISHED
            if self._context is None or c.caller_context(caller) != self._context:
                raise InvariantError("a host function was called while no turn is executed")
            item = self._imports[number or 0]
            integers = (ctypes.c_uint64 * (count * c.VALUE_BYTES // 8)).from_address(values)
            result = self.answer(item.answer, [integers[2 * n] & mask for n, mask in enumerate(item.masks)])
            if result is not None:
                integers[0] = result
            self._raised = None
            return 0
        except BaseException as error:
            self._raised = error
            return c.trap_new(TRAP_TEXT, len(TRAP_TEXT))  # type: ignore[no-any-return]


_UNFINISHED: Final = _Unfinished()


def _linker(
    engine: wasmtime.Engine,
    effects: Mapping[str, tuple[int, ctypes._FuncPointer]],
    imports: Sequence[HostImport],
    host: ctypes._FuncPointer,
) -> wasmtime.Linker:
    """Return a linker with `imports`, whose numbers `host` gets, and with functions that ask for effects.

    Those are given by name, with the number of their parameters. The caller keeps the callbacks alive.
    """
    linker = wasmtime.Linker(engine)
    i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
    for name, (parameters, callback) in effects.items():
        _define(linker, "turnwise", name, wasmtime.FuncType([i32] * parameters, [i64]), callback, 0)
    for number, item in enumerate(imports):
        _define(linker, item.module, item.name, item.type, host, number)
    return linker


def _define(
    linker: wasmtime.Linker, module: str, name: str, kind: wasmtime.FuncType, callback: ctypes._FuncPointer, number: int
) -> None:
    module_bytes, name_bytes = module.encode(), name.encode()
    error = _bindings.wasmtime_linker_define_func_unchecked(
        linker.ptr(),
        ctypes.create_string_buffer(module_bytes),
        len(module_bytes),
        ctypes.create_string_buffer(name_bytes),
        len(name_bytes),
        kind.ptr(),
        ctypes.cast(callback, _bindings.wasmtime_func_unchecked_callback_t),
        ctypes.c_void_p(number),
        _no_finalizer,
    )
    if error:
        raise wasmtime.WasmtimeError._from_ptr(error)


def _check_exports(module: wasmtime.Module) -> None:
    """Check that a module exports what will be called, since the library does not look at types again."""
    exports = {item.name: item.type for item in module.exports}
    for name, signature in SIGNATURES.items():
        kind = exports.get(name)
        if signature is None:
            fits = isinstance(kind, wasmtime.MemoryType)
        else:
            fits = isinstance(kind, wasmtime.FuncType) and signature == (
                [str(one) for one in kind.params],
                [str(one) for one in kind.results],
            )
        if not fits:
            raise InvariantError(f"a module whose export {name!r} is not as agreed came through the check")


def _address(pointer: ctypes._Pointer) -> int:  # type: ignore[type-arg]
    return ctypes.addressof(pointer.contents)
