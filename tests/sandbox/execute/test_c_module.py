"""The carrier by the C library: equal to the other in every outcome, and safe where it has nothing to hold it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import wasmtime

from tests.orchestrator.test_failures import RECURSES, TRAPS
from tests.sandbox.test_hostile_guests import BY_FUEL, OTHERS
from turnwise.core.turn import FailureClass
from turnwise.errors import InvariantError
from turnwise.sandbox.execute import c_library
from turnwise.sandbox.execute.c_module import CModuleCarrier
from turnwise.sandbox.execute.engine import on_guest_stack
from turnwise.sandbox.execute.execution import Ended, Execution
from turnwise.sandbox.execute.module import ModuleCarrier
from turnwise.sandbox.execute.replies import HandedReply

MIB = 1024 * 1024
ASKS = """(module
  (import "turnwise" "effect" (func $effect (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (global $calls (mut i32) (i32.const 0))
  (func $alloc (export "turnwise_alloc") (param i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    {alloc} (i32.const 64))
  (func $deeper (param i32 i32) (result i64) (call $effect (local.get 0) (local.get 1)))
  (func (export "turnwise_turn") (param i32 i32) (result i64) {turn} (call $deeper (local.get 0) (local.get 1))))"""


def asks(turn: str = "", alloc: str = "") -> str:
    return ASKS.format(turn=turn, alloc=alloc)


PUTS = """(module
  (import "turnwise" "effect_bytes" (func $put (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\7b\\7d") (data (i32.const 100) "\\00\\ff\\fe")
  (global $calls (mut i32) (i32.const 0))
  (func (export "turnwise_alloc") (param i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    {alloc} (i32.const 64))
  (func (export "turnwise_turn") (param i32 i32) (result i64) (call $put {call})))"""


def puts(call: str, alloc: str = "") -> str:
    """A guest that asks with bytes beside its request: `call` are the two places."""
    return PUTS.format(call=" ".join(f"(i32.const {number})" for number in call.split()), alloc=alloc)


def on_second(what: str) -> str:
    return f"(if (i32.eq (global.get $calls) (i32.const 2)) (then {what}))"


GUESTS = {
    **{name: source for name, source in BY_FUEL.items() if source.lstrip().startswith("(module")},
    **{name: source for name, (source, _) in OTHERS.items() if source.lstrip().startswith("(module")},
    "recurses": RECURSES,
    "traps": TRAPS,
    "asks": asks(),
    "asks twice": asks("(drop (call $effect (i32.const 0) (i32.const 2)))"),
    "asks from nowhere": asks("(return (call $effect (i32.const -1) (i32.const 2)))"),
    "asks with too much": asks("(return (call $effect (i32.const 0) (i32.const 65536)))"),
    "asks with no text": asks(
        "(i32.store (i32.const 0) (i32.const -1)) (drop (call $effect (i32.const 0)(i32.const 2)))"
    ),
    "allocates with a trap": asks(alloc="unreachable"),
    "allocates the reply with a trap": asks(alloc=on_second("unreachable")),
    "allocates the reply for ever": asks(alloc=on_second("(loop (br 0))")),
    "allocates the reply nowhere": asks(alloc=on_second("(return (i32.const -9))")),
    "allocates no room for the reply": asks(alloc=on_second("(return (i32.const 0))")),
    "allocates the reply by asking": asks(alloc=on_second("(drop (call $effect (i32.const 0) (i32.const 1)))")),
    "allocates by asking": asks(alloc="(drop (call $effect (i32.const 0) (i32.const 1)))"),
    "puts": puts("0 2 100 3"),
    "puts nothing": puts("0 2 0 0"),
    "puts nothing from the end": puts("0 2 65536 0"),
    "puts from nowhere": puts("0 2 -1 3"),
    "puts beyond its memory": puts("0 2 65534 3"),
    "puts too much": puts("0 2 0 49999"),
    "puts more than there is": puts("0 2 0 -1"),
    "puts with no text": puts("100 3 0 1"),
    "puts with a text from nowhere": puts("-1 2 0 1"),
    "puts, with no room for the reply": puts("0 2 100 3", alloc=on_second("(return (i32.const 0))")),
    "puts, with room beyond its memory": puts("0 2 100 3", alloc=on_second("(return (i32.const 65535))")),
    "puts while room is made for the reply": puts(
        "0 2 100 3", alloc=on_second("(drop (call $put (i32.const 0) (i32.const 2) (i32.const 0) (i32.const 0)))")
    ),
    "starts by asking": asks()[:-1] + "(func $s (drop (call $effect (i32.const 0) (i32.const 1)))) (start $s))",
    "grows before it answers": asks("(drop (memory.grow (i32.const 3))) (i32.store8 (i32.const 200000) (i32.const 1))"),
}


@pytest.mark.parametrize("name", GUESTS)
@pytest.mark.parametrize("replies", [(), (b"one",), (b"one", b"two"), ((b"a", b"\0\xff", b"b"),)])
def test_outcome_text_and_fuel_are_those_of_the_other_carrier(
    engine: wasmtime.Engine, name: str, replies: tuple[HandedReply, ...]
) -> None:
    module = wasmtime.Module(engine, GUESTS[name])

    def both() -> list[Any]:
        found = []
        for carrier in (ModuleCarrier(engine, module), CModuleCarrier(engine, module)):
            for fuel, memory_bytes in ((200_000, 16 * MIB), (200_000, 1), (9, 16 * MIB), (0, MIB)):
                execution = Execution(b"input", replies, fuel, memory_bytes, 50_000)
                outcome, used = carrier.execute(execution)
                found.append((outcome, used, execution.calls, execution.outcome))
        return found

    found = on_guest_stack(both)
    assert found[:4] == found[4:]


@pytest.mark.parametrize(
    ("name", "status", "failure", "said"),
    [
        ("puts", "needs", None, b"{}"),
        ("puts nothing", "needs", None, b"{}"),
        ("puts nothing from the end", "needs", None, b"{}"),
        ("puts from nowhere", "failed", FailureClass.TRAP, b"3 bytes at 4294967295"),
        ("puts beyond its memory", "failed", FailureClass.TRAP, b"3 bytes at 65534"),
        ("puts too much", "failed", FailureClass.OUTPUT_SIZE, b"has 50001 bytes; at most 50000"),
        ("puts more than there is", "failed", FailureClass.OUTPUT_SIZE, b"has 4294967297 bytes"),
        ("puts with no text", "failed", FailureClass.OUTPUT, b"not UTF-8"),
        ("puts with a text from nowhere", "failed", FailureClass.TRAP, b"2 bytes at 4294967295"),
    ],
)
@pytest.mark.parametrize("carrier", [ModuleCarrier, CModuleCarrier])
def test_bytes_beside_a_request_are_taken_if_they_are_there(
    engine: wasmtime.Engine, carrier: Any, name: str, status: str, failure: FailureClass | None, said: bytes
) -> None:
    execution = Execution(b"input", (), 200_000, MIB, 50_000)
    outcome, _ = on_guest_stack(lambda: carrier(engine, wasmtime.Module(engine, GUESTS[name])).execute(execution))
    assert (outcome.status, outcome.failure) == (status, failure)
    assert said in outcome.body
    assert outcome.content == (b"\0\xff\xfe" if name == "puts" else b"")


@pytest.mark.parametrize("carrier", [ModuleCarrier, CModuleCarrier])
def test_a_reply_comes_as_a_line_of_text_and_the_bytes_behind_it(engine: wasmtime.Engine, carrier: Any) -> None:
    replies: tuple[HandedReply, ...] = ((b'{"ok":', memoryview(b"xyz"), b"}"),)
    module = wasmtime.Module(engine, GUESTS["puts"])
    outcome, _ = on_guest_stack(lambda: carrier(engine, module).execute(Execution(b"", replies, 10**6, MIB, 100)))
    assert (outcome.status, outcome.body) == ("completed", b'{"ok":{"bytes":3}}\nxyz')
    module = wasmtime.Module(engine, GUESTS["asks"])
    outcome, _ = on_guest_stack(lambda: carrier(engine, module).execute(Execution(b"{}", replies, 10**6, MIB, 100)))
    assert (outcome.status, outcome.body) == ("completed", b'{"ok":{"data":"eHl6"}}')


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError, RecursionError, ZeroDivisionError])
@pytest.mark.parametrize("nested", [False, True])
def test_what_a_host_function_raises_is_raised_when_the_guest_has_been_left(
    engine: wasmtime.Engine, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException], nested: bool
) -> None:
    """Nested: raised by the host function that an allocator calls, which a host function has called."""
    carrier = CModuleCarrier(
        engine, wasmtime.Module(engine, GUESTS["allocates the reply by asking" if nested else "asks"])
    )
    answer = CModuleCarrier.effect

    def raising(self: CModuleCarrier, pointer: int, length: int) -> int:
        if nested and length == 5:
            return answer(self, pointer, length)
        raise kind("from the host")

    with monkeypatch.context() as change:
        change.setattr(CModuleCarrier, "effect", raising)
        with pytest.raises(kind, match="from the host"):
            carrier.execute(Execution(b"input", (b"1",), 1_000, MIB, 100))
    outcome, _ = carrier.execute(Execution(b"input", (b"1",), 1_000, MIB, 100))
    assert (outcome.status, outcome.failure) == (("failed", "forbidden") if nested else ("completed", None))


def test_a_host_function_that_cannot_end_its_guest_gives_no_answer(
    engine: wasmtime.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no trap can be made, the guest goes on with whatever lies there; what it does is no outcome."""
    carrier = CModuleCarrier(engine, wasmtime.Module(engine, GUESTS["asks"]))

    def raising(*_: object) -> int:
        raise MemoryError

    monkeypatch.setattr(CModuleCarrier, "effect", raising)
    monkeypatch.setattr(c_library, "trap_new", lambda *_: 0)
    with pytest.raises(InvariantError, match="not left"):
        carrier.execute(Execution(b"input", (b"1",), 1_000, MIB, 100))


@pytest.mark.parametrize(
    "changed",
    [
        ('(memory (export "memory") 1)', '(memory 1) (global (export "memory") i32 (i32.const 1))'),
        ("(param i32) (result i32)", "(param i64) (result i32)"),
        ("(param i32 i32) (result i64)", "(param i32 i32 i32) (result i64)"),
        ('"turnwise_turn"', '"turn"'),
    ],
)
def test_a_module_that_exports_something_else_is_not_called(engine: wasmtime.Engine, changed: tuple[str, str]) -> None:
    wat = """(module (memory (export "memory") 1)
      (func (export "turnwise_alloc") (param i32) (result i32) unreachable)
      (func (export "turnwise_turn") (param i32 i32) (result i64) unreachable))"""
    assert CModuleCarrier(engine, wasmtime.Module(engine, wat))
    with pytest.raises(InvariantError, match="export"):
        CModuleCarrier(engine, wasmtime.Module(engine, wat.replace(*changed)))


def test_a_carrier_keeps_no_text_and_one_that_is_dropped_is_freed(engine: wasmtime.Engine) -> None:
    class Kept(CModuleCarrier):
        __slots__ = ("__weakref__",)

    carrier = Kept(engine, wasmtime.Module(engine, GUESTS["asks"]))
    carrier.execute(Execution(b"x" * 1000, (), 1_000, MIB, 2_000))
    assert carrier.execution.input == b""
    reference = weakref.ref(carrier)
    del carrier
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("name", ["asks", "traps", "allocates the reply with a trap", "starts for ever"])
@pytest.mark.parametrize("replies", [(), (b"one",)])
def test_a_turn_leaves_no_trap_to_the_garbage_collector(
    engine: wasmtime.Engine, name: str, replies: tuple[bytes, ...]
) -> None:
    """In a cycle it would be there until garbage is collected, with the native memory that it holds."""
    carrier = CModuleCarrier(engine, wasmtime.Module(engine, GUESTS[name]))
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            carrier.execute(Execution(b"input", replies, 1_000, MIB, 100))
        left = [one for one in gc.get_objects() if isinstance(one, wasmtime.Trap | wasmtime.WasmtimeError | Ended)]
        assert left == []
    finally:
        gc.enable()


def test_a_turn_within_a_turn_is_refused(engine: wasmtime.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    carrier = CModuleCarrier(engine, wasmtime.Module(engine, GUESTS["asks"]))

    def again(self: CModuleCarrier, pointer: int, length: int) -> int:
        return int(self.execute(Execution(b"input", (), 1_000, MIB, 100))[1])

    monkeypatch.setattr(CModuleCarrier, "effect", again)
    with pytest.raises(InvariantError, match="while another"):
        carrier.execute(Execution(b"input", (), 1_000, MIB, 100))
