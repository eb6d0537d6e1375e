"""Core modules: what well-behaved guests get, and what hostile ones cannot do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from hypothesis import example, given
from hypothesis import strategies as st

from turnwise.core.turn import FailureClass
from turnwise.sandbox.execute.execution import Execution

MIB = 1024 * 1024
ECHO = "(call $pack (local.get $p) (local.get $n))"
ASK_AND_ANSWER = "(call $effect (local.get $p) (local.get $n))"
ASK_TWICE = f"(drop {ASK_AND_ANSWER}) (call $effect (i32.const 0) (i32.const 3))"


def test_the_input_arrives_and_the_output_returns(run_module: Any) -> None:
    outcome, fuel, _ = run_module(ECHO, input='{"text": "Grüße, 世界"}'.encode())
    assert (outcome.status, outcome.body.decode()) == ("completed", '{"text": "Grüße, 世界"}')
    assert 0 < fuel < 100


def test_a_turn_ends_at_an_effect_without_reply_and_goes_on_with_it(run_module: Any) -> None:
    data = '(data (i32.const 0) "two")'
    first, fuel_first, _ = run_module(ASK_TWICE, parts=data, input=b"one")
    assert (first.status, first.body, first.failure) == ("needs", b"one", None)
    second, fuel_second, _ = run_module(ASK_TWICE, parts=data, input=b"one", replies=(b"1",))
    assert (second.status, second.body) == ("needs", b"two")
    third, fuel_third, execution = run_module(ASK_TWICE, parts=data, input=b"one", replies=(b"1", b"2nd"))
    assert (third.status, third.body, execution.calls) == ("completed", b"2nd", 2)
    assert fuel_first < fuel_second < fuel_third


def test_fuel_at_each_suspension_is_the_same_every_time(run_module: Any) -> None:
    runs = {run_module(ASK_TWICE, input=b"one", replies=replies)[1] for _ in range(5) for replies in [(b"1",)]}
    assert len(runs) == 1


def test_nothing_survives_a_turn(carry: Any) -> None:
    counter = """(module (memory (export "memory") 1)
      (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 64))
      (func (export "turnwise_turn") (param i32 i32) (result i64)
        (i32.store8 (i32.const 8) (i32.add (i32.load8_u (i32.const 8)) (i32.const 49)))
        (i64.const 0x800000001)))"""
    carrier = carry(counter)
    bodies = [carrier.execute(Execution(b"{}", (), 1_000, MIB, 100))[0].body for _ in range(3)]
    assert bodies == [b"1", b"1", b"1"]


@pytest.mark.parametrize(
    ("turn", "failure", "message"),
    [
        ("(loop (br 0)) unreachable", FailureClass.FUEL, "used up its fuel"),
        ("(memory.fill (i32.const 0) (i32.const 7) (i32.const -1)) unreachable", FailureClass.TRAP, "out of bounds"),
        ("unreachable", FailureClass.TRAP, "unreachable"),
        ("(i64.div_u (i64.const 1) (i64.const 0))", FailureClass.TRAP, "divide by zero"),
        ("(i64.load (i32.const -8))", FailureClass.TRAP, "out of bounds"),
        ("(i64.extend_i32_s (i32.trunc_f64_s (f64.const 1e300)))", FailureClass.TRAP, "integer"),
        ("(call_indirect (param) (result i64) (i32.const 3))", FailureClass.TRAP, "undefined element"),
        ("(call_indirect (param) (result i64) (i32.const 0))", FailureClass.TRAP, "uninitialized element"),
        # a result that points nowhere: beyond, far beyond ("negative"), just beyond, and around the end of the memory
        ("(i64.const 0xFFFFFFFF_00000001)", FailureClass.TRAP, "beyond the memory"),
        ("(i64.const 0x00010000_00000001)", FailureClass.TRAP, "beyond the memory"),
        ("(i64.const 0x0000FFFF_00000002)", FailureClass.TRAP, "beyond the memory"),
        ("(i64.const 0x00000000_00020000)", FailureClass.TRAP, "beyond the memory"),
        ("(i64.const -1)", FailureClass.OUTPUT_SIZE, "4294967295 bytes"),
        # the same for what an effect is asked with
        ("(call $effect (i32.const -1) (i32.const 1))", FailureClass.TRAP, "effect request"),
        ("(call $effect (i32.const 65535) (i32.const 2))", FailureClass.TRAP, "effect request"),
        ("(call $effect (i32.const 0) (i32.const -1))", FailureClass.OUTPUT_SIZE, "effect request"),
        ("(call $effect (i32.const -2147483648) (i32.const -2147483648))", FailureClass.OUTPUT_SIZE, "effect"),
    ],
)
def test_a_guest_that_misbehaves_fails_its_turn(run_module: Any, turn: str, failure: str, message: str) -> None:
    outcome, fuel, _ = run_module(turn, parts="(table 1 funcref)", fuel=1_000_000)
    assert (outcome.status, outcome.failure) == ("failed", failure)
    assert message in outcome.body.decode()
    assert fuel <= 1_000_000


def test_fuel_that_is_used_up_is_used_up_exactly(run_module: Any) -> None:
    _, fuel, _ = run_module("(loop (br 0)) unreachable", fuel=123_457)
    assert fuel == 123_457


def test_bulk_operations_cost_fuel_by_their_size(run_module: Any) -> None:
    turn = "(loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 65536)) (br 0)) unreachable"
    outcome, _, _ = run_module(turn, fuel=10_000_000)
    assert outcome.failure is FailureClass.FUEL


def test_unbounded_recursion_ends_at_the_stack_limit(run_module: Any) -> None:
    parts = "(func $f (param i64) (result i64) (i64.add (i64.const 1) (call $f (local.get 0))))"
    outcome, _, _ = run_module("(call $f (i64.const 1))", parts=parts)
    assert outcome.failure is FailureClass.STACK
    assert len(outcome.body) < 10_000


def test_recursion_through_the_allocator_is_refused(run_module: Any) -> None:
    """Host and guest calling each other would use up the native stack, which no limit of the guest covers."""
    alloc = """(func $alloc (export "turnwise_alloc") (param i32) (result i32)
      (drop (call $effect (i32.const 0) (i32.const 1))) (i32.const 8))"""
    outcome, _, _ = run_module(ECHO, alloc=alloc, replies=(b"1",) * 1000)
    assert outcome.failure is FailureClass.FORBIDDEN
    assert "turnwise_alloc" in outcome.body.decode()


def test_a_start_function_has_no_effects_and_costs_fuel(run_module: Any) -> None:
    asking = "(func $start (drop (call $effect (i32.const 0) (i32.const 1)))) (start $start)"
    outcome, _, _ = run_module(ECHO, parts=asking, replies=(b"1",))
    assert outcome.failure is FailureClass.FORBIDDEN
    looping = "(func $start (loop (br 0))) (start $start)"
    outcome, fuel, _ = run_module(ECHO, parts=looping, fuel=5_000)
    assert (outcome.failure, fuel) == (FailureClass.FUEL, 5_000)


ALLOCATORS = {
    "beyond": ("(i32.const 65530)", FailureClass.TRAP, "beyond the memory"),
    "negative": ("(i32.const -1)", FailureClass.TRAP, "beyond the memory"),
    "nothing": ("(i32.const 0)", FailureClass.MEMORY, "no memory left"),
    "trap": ("unreachable", FailureClass.TRAP, "unreachable"),
    "loop": ("(loop (br 0)) unreachable", FailureClass.FUEL, "fuel"),
}


@pytest.mark.parametrize("name", ALLOCATORS)
def test_an_allocator_that_misbehaves_fails_its_turn(run_module: Any, name: str) -> None:
    body, failure, message = ALLOCATORS[name]
    alloc = f'(func $alloc (export "turnwise_alloc") (param i32) (result i32) {body})'
    outcome, _, _ = run_module(ECHO, alloc=alloc, fuel=10_000)
    assert outcome.failure is failure
    assert message in outcome.body.decode()


def test_a_reply_that_finds_no_room_fails_the_turn(run_module: Any) -> None:
    """The first allocation is honest, the one for the reply is not: the trap inside a host call keeps its class."""
    alloc = """(func $alloc (export "turnwise_alloc") (param i32) (result i32)
      (global.set $top (i32.add (global.get $top) (i32.const 1)))
      (if (i32.gt_u (global.get $top) (i32.const 1025)) (then unreachable))
      (i32.const 8))"""
    outcome, _, _ = run_module(ASK_AND_ANSWER, alloc=alloc, replies=(b"yes",))
    assert outcome.failure is FailureClass.TRAP


def test_texts_may_overlap(run_module: Any) -> None:
    """A guest that is given the reply over its input gets what it asked for, and the host is not confused."""
    alloc = '(func $alloc (export "turnwise_alloc") (param i32) (result i32) (i32.const 8))'
    outcome, _, _ = run_module(ASK_AND_ANSWER, alloc=alloc, input=b"question", replies=(b"answer",))
    assert outcome.body == b"answer"


def test_output_that_is_not_utf8_fails_the_turn(run_module: Any) -> None:
    for bad in ("\\ff", "\\c3", "\\ed\\a0\\80", "\\f4\\90\\80\\80"):
        parts = f'(data (i32.const 0) "{bad}")'
        outcome, _, _ = run_module(f"(call $pack (i32.const 0) (i32.const {len(bad) // 3}))", parts=parts)
        assert outcome.failure is FailureClass.OUTPUT, bad
        outcome, _, _ = run_module(f"(call $effect (i32.const 0) (i32.const {len(bad) // 3}))", parts=parts)
        assert outcome.failure is FailureClass.OUTPUT, bad


def test_output_is_bounded_to_the_byte(run_module: Any) -> None:
    exact, _, _ = run_module(ECHO, input=b"x" * 100, output_bytes_max=100)
    assert exact.status == "completed"
    over, _, _ = run_module(ECHO, input=b"x" * 101, output_bytes_max=100)
    assert over.failure is FailureClass.OUTPUT_SIZE
    asked, _, _ = run_module(ASK_AND_ANSWER, input=b"x" * 101, output_bytes_max=100)
    assert asked.failure is FailureClass.OUTPUT_SIZE


def test_a_text_may_lie_at_the_very_end_of_memory(run_module: Any) -> None:
    last = """(func $alloc (export "turnwise_alloc") (param $size i32) (result i32)
      (i32.sub (i32.const 65536) (local.get $size)))"""
    outcome, _, _ = run_module(ECHO, alloc=last, input=b"as it is")
    assert (outcome.status, outcome.body) == ("completed", b"as it is")
    outcome, _, _ = run_module(ASK_AND_ANSWER, alloc=last, input=b"asked", replies=(b"answered",))
    assert (outcome.status, outcome.body) == ("completed", b"answered")
    beyond = last.replace("65536", "65537")
    outcome, _, _ = run_module(ECHO, alloc=beyond, input=b"as it is")
    assert outcome.failure is FailureClass.TRAP
    assert "beyond the memory of 65536 bytes" in outcome.body.decode()


def test_empty_texts_pass(run_module: Any) -> None:
    outcome, _, _ = run_module("(i64.const 0)")
    assert (outcome.status, outcome.body) == ("completed", b"")
    outcome, _, _ = run_module("(call $effect (i32.const 0) (i32.const 0))")
    assert (outcome.status, outcome.body) == ("needs", b"")


def test_a_memory_bomb_meets_the_limit(run_module: Any) -> None:
    grow = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable"
    outcome, _, _ = run_module(grow, memory_bytes=8 * MIB)
    assert outcome.failure is FailureClass.MEMORY
    assert "linear memory is full" in outcome.body.decode()
    size = (
        "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (call $pack (i32.const 0) (memory.size))"
    )
    outcome, _, _ = run_module(size, memory_bytes=8 * MIB)
    assert len(outcome.body) == 8 * MIB // 65_536


def test_a_module_whose_memory_is_larger_than_the_limit_cannot_begin(run_module: Any) -> None:
    outcome, _, _ = run_module(ECHO, memory_bytes=60_000)
    assert outcome.failure is FailureClass.MEMORY


def test_a_table_bomb_meets_the_limit(run_module: Any) -> None:
    turn = "(i64.extend_i32_s (table.grow (ref.null func) (i32.const 1000000))) (i64.const 1) i64.add"
    outcome, _, _ = run_module(turn, parts="(table 1 funcref)")
    assert (outcome.status, outcome.body) == ("completed", b"")
    outcome, _, _ = run_module(ECHO, parts="(table 1000000 funcref)")
    assert outcome.failure is FailureClass.MEMORY


@pytest.mark.parametrize(
    "wat",
    [
        '(module (memory (export "a") 1) (memory (export "b") 1))',
        '(module (memory (export "memory") 1 1 shared))',
        '(module (memory (export "memory") i64 1))',
        "(module (tag $t) (func (throw $t)))",
        "(module (type (struct (field i32))))",
    ],
)
def test_what_the_engine_does_not_know_is_not_compiled(engine: wasmtime.Engine, wat: str) -> None:
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Module(engine, wasmtime.wat2wasm(wat))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_ten_thousand_instances_leave_nothing_behind(carry: Any) -> None:
    """Every third is suspended, every third traps: memory and file descriptors stay flat."""
    wat = """(module (import "turnwise" "effect" (func $effect (param i32 i32) (result i64)))
      (memory (export "memory") 1)
      (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 64))
      (func (export "turnwise_turn") (param $p i32) (param $n i32) (result i64)
        (if (i32.eq (local.get $n) (i32.const 1)) (then unreachable))
        (call $effect (local.get $p) (local.get $n))))"""
    carrier = carry(wat)
    work = [(b"1", ()), (b"two", ()), (b"two", (b"reply",))]

    def round_of(count: int) -> None:
        for index in range(count):
            text, replies = work[index % 3]
            carrier.execute(Execution(text, replies, 10_000, MIB, 1_000))

    round_of(1_000)
    descriptors, resident = descriptor_count(), resident_bytes()
    round_of(10_000)
    assert descriptor_count() <= descriptors
    assert resident_bytes() - resident < 4 * MIB


def descriptor_count() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@given(pointer=st.integers(0, 2**32 - 1), length=st.integers(0, 2**32 - 1), small=st.booleans())
@example(pointer=65_536, length=0, small=False)
@example(pointer=65_537, length=0, small=False)
@example(pointer=0, length=65_536, small=False)
@example(pointer=2**32 - 1, length=2**32 - 1, small=False)
def test_any_result_is_either_inside_the_memory_or_a_failure(
    run_module: Any, pointer: int, length: int, small: bool
) -> None:
    if small:
        pointer, length = pointer % 66_000, length % 66_000
    outcome, _, _ = run_module(f"(i64.const {pointer << 32 | length})", output_bytes_max=70_000)
    if length > 70_000:
        assert outcome.failure is FailureClass.OUTPUT_SIZE
    elif pointer + length > 65_536:
        assert outcome.failure is FailureClass.TRAP
    else:
        assert (outcome.status, len(outcome.body)) == ("completed", length)
