"""The carrier for components: Python (an interpreter inside), JavaScript, any component toolchain.

The world is `turnwise:agent@0.1.0`: `effect` is imported, `turn` exported. What else a component imports must be an
interface of WASI 0.2; the linker is filled from the component's own list of imports, so that whatever it can call is
named here: answered by `wasi`, or ending the turn with the name of the import.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import wasmtime
from wasmtime import component as wc

from turnwise.core.turn import FailureClass
from turnwise.errors import InvariantError
from turnwise.sandbox.execute.execution import (
    HOST_CALL_FUEL,
    HOST_HANDLE_FUEL,
    Ended,
    Execution,
    ExecutionOutcome,
    failed,
)
from turnwise.sandbox.execute.headroom import LackOfMemory
from turnwise.sandbox.execute.module_turn import TABLE_ELEMENTS_MAX, too_large
from turnwise.sandbox.execute.traps import outcome_of_error
from turnwise.sandbox.execute.wasi import HOST_FUNCTIONS, RESOURCE_TYPES, WASI_NAME, Wasi

INSTANCES_MAX = 64
"""Core instances of one component. CPython needs 11."""

TABLES_MAX = 64
MEMORIES_MAX = 1
"""The limit of linear memory holds for each memory, so there is one."""

EFFECT = "effect"
TURN = "turn"


class ComponentCarrier:
    """Carrier of one compiled component, whose turns are executed each in a store and an instance of its own."""

    def __init__(self, engine: wasmtime.Engine, component: wc.Component) -> None:
        self._engine = engine
        self._component = component
        self._wasi: Wasi | None = None
        self._linker = wc.Linker(engine)
        self._link()
        index = component.get_export_index(TURN)
        if index is None:
            raise InvariantError(f"a component without the export {TURN!r} came through the check")
        self._turn_index = index

    def execute(self, execution: Execution) -> tuple[ExecutionOutcome, int]:
        """Run `execution` to its end; return its outcome and the fuel that it used, host calls included."""
        store = wasmtime.Store(self._engine)
        try:
            store.set_limits(
                memory_size=execution.memory_bytes,
                table_elements=TABLE_ELEMENTS_MAX,
                instances=INSTANCES_MAX,
                tables=TABLES_MAX,
                memories=MEMORIES_MAX,
            )
            store.set_fuel(execution.fuel)
            self._wasi = Wasi(execution)
            outcome = self._run(store, execution)
            return execution.settle(outcome, execution.fuel - store.get_fuel())
        finally:
            self._wasi = None
            store.close()

    def _run(self, store: wasmtime.Store, execution: Execution) -> ExecutionOutcome:
        try:
            instance = self._linker.instantiate(store, self._component)
            turn = instance.get_func(store, self._turn_index)
            if turn is None:
                raise InvariantError(f"the export {TURN!r} of a component is no function")
            output = turn(store, execution.input.decode("utf-8")).encode("utf-8")
        except wasmtime.WasmtimeError as error:
            if execution.lacked_memory:
                raise LackOfMemory("the host has no memory for what the guest passes") from None
            return execution.outcome or outcome_of_error(error, execution.fuel)
        if len(output) > execution.output_bytes_max:
            return failed(FailureClass.OUTPUT_SIZE, too_large("output", len(output), execution))
        return ExecutionOutcome("completed", output)

    def _link(self) -> None:
        """Define all that the component imports, and nothing else."""
        types = _ResourceTypes()
        with self._linker.root() as root:
            for name, item in self._component.type.imports(self._engine).items():
                if name == EFFECT:
                    root.add_func(name, self._host(_effect))
                    continue
                match = WASI_NAME.fullmatch(name)
                imported = item.ty
                if match is None or not isinstance(imported, wc.ComponentInstanceType):
                    raise InvariantError(f"a component that imports {name!r} came through the check")
                with root.add_instance(name) as interface:
                    for member, kind in imported.exports(self._engine).items():
                        self._link_member(interface, match[1], member, kind.ty, types)

    def _link_member(
        self, interface: wc.LinkerInstance, prefix: str, member: str, kind: wc.ComponentItem, types: _ResourceTypes
    ) -> None:
        match kind:
            case wc.ResourceType():
                interface.add_resource(member, types.of(member), self._dropper(member))
            case wc.FuncType():
                path = f"{prefix}.{member}"
                answer = HOST_FUNCTIONS.get(path)
                interface.add_func(member, self._host(answer.answer if answer else _forbidden(path)))

    def _host(self, answer: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a host function so that all it raises is of the engine's class, which becomes the trap as it is."""

        def call(store: wasmtime.StoreContext, *arguments: Any) -> Any:
            wasi = self._wasi
            if wasi is None:
                raise InvariantError("a host function was called while no turn is executed")
            try:
                wasi.execution.charge(HOST_CALL_FUEL + HOST_HANDLE_FUEL * _handles_beyond_first(arguments))
                return answer(wasi, *[_argument(store, argument) for argument in arguments])
            except Ended as ended:
                raise wasmtime.WasmtimeError(str(ended)) from None
            except MemoryError:
                wasi.execution.lacked_memory = True
                raise wasmtime.WasmtimeError("out of memory") from None

        return call

    def _dropper(self, name: str) -> Callable[[wasmtime.StoreContext, int], None]:
        def drop(_: wasmtime.StoreContext, rep: int) -> None:
            if self._wasi is not None:
                self._wasi.drop(name, rep)

        return drop


SAME_RESOURCES: Final = {"headers": "fields", "trailers": "fields"}
"""Names in `wasi:http/types` that stand for another resource. Components of JavaScript toolchains import them."""


class _ResourceTypes:
    """Resource types of the host, one for each name, since several interfaces use the same type.

    WASI has other names for some, which the engine takes for the same type only if they have the same number.
    """

    def __init__(self) -> None:
        self._numbers = dict(RESOURCE_TYPES)

    def of(self, name: str) -> wc.ResourceType:
        name = SAME_RESOURCES.get(name, name)
        return wc.ResourceType.host(self._numbers.setdefault(name, len(self._numbers) + 1))


def _handles_beyond_first(arguments: Sequence[Any]) -> int:
    """Return how many resources in lists come beyond the first of each: each takes Python longer than a whole call."""
    return sum(len(value) - 1 for value in arguments if isinstance(value, list) and value)


def _argument(store: wasmtime.StoreContext, value: Any) -> Any:
    """Return an argument with resources replaced by the numbers that the host gave them."""
    if isinstance(value, wc.ResourceAny):
        return value.to_host(store).rep
    if isinstance(value, list):
        return [_argument(store, element) for element in value]
    return value


def _effect(wasi: Wasi, request: str) -> str:
    execution = wasi.execution
    data = request.encode("utf-8")
    if len(data) > execution.output_bytes_max:
        raise execution.fail(FailureClass.OUTPUT_SIZE, too_large("effect request", len(data), execution))
    return execution.effect(data).decode("utf-8")


def _forbidden(path: str) -> Callable[..., Any]:
    def call(wasi: Wasi, *_: object) -> None:
        raise wasi.execution.fail(FailureClass.FORBIDDEN, f"the agent called {path}, which the sandbox does not answer")

    return call
