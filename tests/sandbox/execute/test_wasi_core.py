"""WASI for core modules: the same answers as for components, on every way of executing core modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from interpreter_build.merge import merge

from tests.sandbox.conftest import COMPONENT, DEFAULTS, Run
from tests.sandbox.execute.test_component import CLOCK, EXIT, FORBIDDEN, POLL_MANY, POLLS, RANDOM, STREAMS
from turnwise.core.turn import FailureClass
from turnwise.sandbox.execute.engine import on_guest_stack
from turnwise.sandbox.execute.execution import HOST_CALL_FUEL, HOST_HANDLE_FUEL, Execution, ExecutionOutcome
from turnwise.sandbox.execute.modules import Carrier
from turnwise.sandbox.execute.wasi import HOST_FUNCTIONS
from turnwise.sandbox.execute.wasi_core import CORE_FUNCTIONS

NOTHING = "(call $answer (i32.const 0) (i32.const 0))"
ECHO = "(call $answer (local.get $p) (local.get $n))"


@pytest.fixture(scope="module")
def run_merged(carry: Callable[[bytes], Carrier]) -> Run:
    """Runs one execution of a component like `run_component`, merged into one core module."""

    def run(turn: str, **changes: Any) -> tuple[ExecutionOutcome, int, Execution]:
        wat = {"imports": "", "pages": "1", "lowered": "", "host": "", "parts": "", "given": ""}
        wat |= {name: changes.pop(name) for name in tuple(changes) if name in wat}
        execution = Execution(**(DEFAULTS | changes))
        carrier = carry(merge(bytes(wasmtime.wat2wasm(COMPONENT.format(turn=turn, **wat)))))
        return *on_guest_stack(lambda: carrier.execute(execution)), execution

    return run


def write(pointer: int, length: int) -> str:
    return f"(call $write (call $stdout) (i32.const {pointer}) (i32.const {length}) (i32.const 32))"


TURNS: dict[str, tuple[str, dict[str, Any]]] = {
    "input": (ECHO, {}),
    "effect": (
        "(call $effect (local.get $p) (local.get $n) (i32.const 32)) (i32.const 32)",
        {"replies": ("Grüße".encode(),)},
    ),
    "effect that is not answered": (
        "(call $effect (local.get $p) (local.get $n) (i32.const 32)) (i32.const 32)",
        {},
    ),
    "clock": (
        "(call $now (i32.const 32)) (call $now (i32.const 48)) (call $answer (i32.const 32) (i32.const 28))",
        CLOCK | {"input": b'{"now_us":7}'},
    ),
    "clock without time": (f"(call $now (i32.const 32)) {ECHO}", CLOCK | {"input": b"not json"}),
    "random": (
        "(call $bytes (i64.const 8) (i32.const 32)) (i64.store (i32.const 48) (call $u64)) "
        "(i64.store (i32.const 48) (i64.and (i64.load (i32.const 48)) (i64.const 0x7f7f7f7f7f7f7f7f))) "
        "(call $answer (i32.const 48) (i32.const 8))",
        RANDOM,
    ),
    "random without end": ("(call $bytes (i64.const -1) (i32.const 32)) unreachable", RANDOM | {"fuel": 1 << 40}),
    "printing": (f"{write(64, 5)} {write(64, 2)} {NOTHING}", STREAMS | {"parts": '(data (i32.const 64) "hello")'}),
    "waiting": (
        "(call $block (call $after (i64.const 5000))) (i64.store (i32.const 32) (call $now)) "
        "(i64.store (i32.const 32) (i64.and (i64.load (i32.const 32)) (i64.const 0x7f7f7f7f7f7f7f7f))) "
        "(call $answer (i32.const 32) (i32.const 8))",
        POLLS,
    ),
    "waiting beyond the end of time": (
        f"(call $block (call $after (i64.const -1))) (call $block (call $after (i64.const -1))) "
        f"(if (i64.ne (call $now) (i64.const -1)) (then unreachable)) {NOTHING}",
        POLLS,
    ),
    "the first of several": (POLL_MANY.format(more=200, count=202), POLLS),
    "pollables without end": ("(loop (drop (call $after (i64.const 1))) (br 0)) unreachable", POLLS),
    "what is not answered": ("(drop (call $open)) unreachable", FORBIDDEN),
    "leaving": ("(call $exit (i32.const 1)) unreachable", EXIT),
    "leaving in peace": ("(call $exit (i32.const 0)) unreachable", EXIT),
    "too long an output": (ECHO, {"input": b"x" * 101, "output_bytes_max": 100}),
    "no end": ("(loop (br 0)) unreachable", {"fuel": 10_000}),
}


@pytest.mark.parametrize("name", TURNS)
def test_a_merged_component_does_what_the_component_does(run_component: Run, run_merged: Run, name: str) -> None:
    turn, changes = TURNS[name]
    if "parts" in changes:  # the memory of these components is another module's, and has no content
        changes = changes | {"parts": ""}
        turn = f"(i64.store (i32.const 64) (i64.const 0x6f6c6c6568)) {turn}"
    expected, _, before = run_component(turn, **changes)
    found, _, after = run_merged(turn, **changes)
    assert (found.status, found.body, found.failure) == (expected.status, expected.body, expected.failure)
    assert (after.stdout(), after.calls) == (before.stdout(), before.calls)


def test_every_function_of_components_is_there_for_modules() -> None:
    assert set(CORE_FUNCTIONS) == set(HOST_FUNCTIONS)


def test_calls_cost_what_they_cost_components(run_merged: Run) -> None:
    def fuel(turn: str) -> int:
        return run_merged(f"{turn} {NOTHING}", **POLLS)[1]

    once, twice = (fuel("(drop (call $now))" * count) for count in (1, 2))
    assert 0 <= twice - once - HOST_CALL_FUEL < 10
    few, many = (run_merged(POLL_MANY.format(more=200, count=count), **POLLS)[1] for count in (2, 202))
    assert many - few == 200 * HOST_HANDLE_FUEL
    one, two = (run_merged(POLL_MANY.format(more=1, count=count), **POLLS)[1] for count in (1, 2))
    assert two - one == HOST_HANDLE_FUEL, "the first handle is free"


def test_a_text_at_the_very_end_of_memory_is_read_and_written(run_merged: Run) -> None:
    turn = f"(i32.store8 (i32.const 65535) (i32.const 104)) {write(65_535, 1)} {NOTHING}"
    outcome, _, execution = run_merged(turn, **STREAMS)
    assert (outcome.status, execution.stdout()) == ("completed", "h")


def test_host_calls_use_up_the_fuel(run_merged: Run) -> None:
    outcome, fuel, _ = run_merged("(loop (drop (call $now)) (br 0)) unreachable", fuel=10_000_000, **POLLS)
    assert (outcome.failure, fuel) == (FailureClass.FUEL, 10_000_000)


@pytest.mark.parametrize(
    ("turn", "pieces"),
    [
        ("(call $now (i32.const -4))", CLOCK),
        ("(call $bytes (i64.const 8) (i32.const 65533))", RANDOM),
        ("(call $poll (i32.const 65532) (i32.const 2) (i32.const 32))", POLLS),
        ("(call $poll (i32.const 64) (i32.const 1) (i32.const 65529))", POLLS | {"parts": ""}),
        (write(65_530, 7), STREAMS),
        (write(-1, 0), STREAMS),
    ],
)
def test_places_beyond_memory_fail_the_turn(run_merged: Run, turn: str, pieces: dict[str, Any]) -> None:
    before = "(i32.store (i32.const 64) (call $after (i64.const 0)))" if pieces["host"] == POLLS["host"] else ""
    outcome, _, _ = run_merged(f"{before} {turn} {NOTHING}", **pieces)
    assert outcome.failure is FailureClass.TRAP
    assert b"beyond the memory" in outcome.body


def test_what_is_no_pollable_or_no_output_is_said(run_merged: Run) -> None:
    outcome, _, _ = run_merged(f"(call $block (i32.const 9)) {NOTHING}", **POLLS)
    assert (outcome.failure, b"no pollable" in outcome.body) == (FailureClass.TRAP, True)
    outcome, _, _ = run_merged(
        f"(call $write (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 32)) {NOTHING}", **STREAMS
    )
    assert outcome.failure is FailureClass.FORBIDDEN


def test_the_host_is_not_called_while_it_waits_for_room(carry: Callable[[str], Carrier]) -> None:
    """Otherwise a guest's allocator that asks for a list, for which it is asked for room, would nest without end."""
    wat = """(module
      (import "wasi:random/random@0.2.3" "get-random-bytes" (func $bytes (param i64 i32)))
      (memory (export "memory") 1)
      (func (export "turnwise_alloc") (param i32) (result i32) (call $bytes (i64.const 1) (i32.const 0)) (i32.const 8))
      (func (export "turnwise_turn") (param i32 i32) (result i64) (i64.const 0)))"""
    execution = Execution(b"{}", (), 1_000_000, 1 << 20, 100)
    outcome, _ = on_guest_stack(lambda: carry(wat).execute(execution))
    assert outcome.failure is FailureClass.FORBIDDEN
