"""Merging a component of shared libraries, in the form that wit-component writes, which is small here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import wasmtime
from interpreter_build.core_module import Kind, parse
from interpreter_build.encoding import UnexpectedForm
from interpreter_build.merge import merge
from wasmtime import component as wc

from tests.sandbox.conftest import DEFAULTS
from turnwise.sandbox.execute.component import ComponentCarrier
from turnwise.sandbox.execute.engine import make_engine, on_guest_stack
from turnwise.sandbox.execute.execution import Execution, ExecutionOutcome
from turnwise.sandbox.execute.modules import module_carrier
from turnwise.sandbox.execute.switches import ALL_OFF, ALL_ON, Switches

COMPONENT = """(component
  (import "effect" (func $effect (param "request" string) (result string)))
  (import "wasi:clocks/wall-clock@0.2.9" (instance $clock
    (type $datetime (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $exported (eq $datetime)))
    (export "now" (func (result $exported)))))
  (import "wasi:clocks/monotonic-clock@0.2.9" (instance $ticks (export "now" (func (result u64)))))
  (core module $main
    (type $none (func))
    (type $one (func (param i32) (result i32)))
    (table (export "table") 8 funcref)
    (memory (export "memory") 1)
    (global (export "stack") (mut i32) (i32.const 4096))
    (global (export "base") i32 (i32.const 1024))
    (global (export "lib:elements") i32 (i32.const 3))
    (global (export "GOT:word") (mut i32) (i32.const 1032))
    (func (export "later") (param i32) (result i32)  ;; what a library needs of one that comes after it
      (call_indirect (type $one) (local.get 0) (i32.const 1)))
    (data (i32.const 1024) "lib data") (data (i32.const 1032) "word"))
  (core module $libc
    (import "env" "memory" (memory 1))
    (import "env" "stack" (global $stack (mut i32)))
    (import "env" "later" (func $later (param i32) (result i32)))
    (import "host" "now" (func $now (param i32)))
    (import "host" "ticks" (func $ticks (result i64)))
    (global (export "offset") i32 (i32.const 8))
    (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32)
      (global.get $stack)
      (global.set $stack (i32.add (global.get $stack) (local.get $size))))
    (func $unused (call $unused))
    (func (export "time") (result i32)
      (call $now (i32.const 64))
      (drop (call $ticks))
      (call $later (i32.wrap_i64 (i64.load (i32.const 64))))))
  (core module $lib
    (import "env" "memory" (memory 1))
    (import "env" "table" (table 8 funcref))
    (import "env" "base" (global $base i32))
    (import "env" "elements" (global $elements i32))
    (import "GOT" "word" (global $word (mut i32)))
    (import "env" "time" (func $time (result i32)))
    (import "env" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "host" "effect" (func $effect (param i32 i32 i32)))
    (type $one (func (param i32) (result i32)))
    (type $pair (func (param i32) (result i32 i32)))
    (func $double (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
    (func $next (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
    (elem (global.get $elements) $double $next)
    (func (export "add-one") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
    (func (export "turn") (param $p i32) (param $n i32) (result i32)
      (local $x f64) (local $y f32) (local $z i64)
      ;; operands in which the code of a call, and of an end, would be found by whoever reads them wrongly
      (local.set $x (f64.const 0x1.0100b10101010p+10)) (local.set $y (f32.const 0x1.10100p+10))
      (local.set $z (i64.const 0x10231011_0b100b10))
      (if (i64.ne (local.get $z) (i64.const 0x10231011_0b100b10)) (then unreachable))
      (if (i32.ne (i32.trunc_sat_f64_s (local.get $x)) (i32.const 1028)) (then unreachable))
      (block $a (block $b (block $c (br_table $a $b $c (i32.const 1))) unreachable) (nop))
      (i32.const 7) (block (type $pair) (i32.const 5)) (drop) (drop)
      (memory.fill (i32.const 200) (i32.const 65) (i32.const 4))
      (memory.copy (i32.const 204) (i32.const 200) (i32.const 2))
      (i32.store8 (i32.const 206) (i32.load8_u (global.get $word)))
      (i32.store8 (i32.const 207) (i32.load8_u (global.get $base)))
      (i32.store8 (i32.const 208)
        (call_indirect (type $one) (i32.const 48) (i32.add (global.get $elements) (i32.const 1))))
      (i32.store8 (i32.const 209) (call_indirect (type $one) (i32.const 25) (global.get $elements)))
      (i32.store8 (i32.const 210) (i32.add (i32.const 48) (i32.rem_u (call $time) (i32.const 10))))
      (call $effect (local.get $p) (local.get $n) (i32.const 96))
      (memory.copy (i32.const 211) (i32.load (i32.const 96)) (i32.load (i32.const 100)))
      (i32.store (i32.const 112) (i32.const 200))
      (i32.store (i32.const 116) (i32.add (i32.const 11) (i32.load (i32.const 100))))
      (i32.const 112)))
  (core module $init
    (import "env" "table" (table 8 funcref))
    (import "lib" "add-one" (func $f (param i32) (result i32)))
    (import "main" "GOT:word" (global $word (mut i32)))
    (func $start-of-the-build (global.set $word (i32.const 0)))  ;; nobody calls it
    (elem (i32.const 1) $f))
  (core module $shim
    (type $two (func (param i32)))
    (type $three (func (param i32 i32 i32)))
    (table (export "$imports") 2 2 funcref)
    (func (export "0") (type $two) (call_indirect (type $two) (local.get 0) (i32.const 0)))
    (func (export "1") (type $three)
      (call_indirect (type $three) (local.get 0) (local.get 1) (local.get 2) (i32.const 1))))
  (core module $fixup
    (import "" "0" (func $zero (param i32)))
    (import "" "1" (func $one (param i32 i32 i32)))
    (import "" "$imports" (table 2 2 funcref))
    (elem (i32.const 0) $zero $one))
  (core instance $shim (instantiate $shim))
  (core instance $main (instantiate $main))
  (alias core export $main "memory" (core memory $memory))
  (alias core export $shim "0" (core func $shim-now))
  (alias core export $shim "1" (core func $shim-effect))
  (alias export $ticks "now" (func $ticks-now))
  (core func $ticks-now (canon lower (func $ticks-now)))
  (core instance $host (export "now" (func $shim-now)) (export "ticks" (func $ticks-now)))
  (core instance $libc (instantiate $libc (with "env" (instance $main)) (with "host" (instance $host))))
  (alias core export $libc "realloc" (core func $realloc))
  (alias core export $libc "time" (core func $time))
  (alias core export $main "table" (core table $table))
  (alias core export $main "base" (core global $base))
  (alias core export $main "lib:elements" (core global $elements))
  (alias core export $main "GOT:word" (core global $word))
  (core instance $env (export "memory" (memory $memory)) (export "table" (table $table)) (export "base" (global $base))
    (export "elements" (global $elements)) (export "time" (func $time)) (export "realloc" (func $realloc)))
  (core instance $got (export "word" (global $word)))
  (core instance $effects (export "effect" (func $shim-effect)))
  (core instance $lib (instantiate $lib
    (with "env" (instance $env)) (with "GOT" (instance $got)) (with "host" (instance $effects))))
  (alias core export $shim "$imports" (core table $imports))
  (alias export $clock "now" (func $now))
  (core func $now-lowered (canon lower (func $now) (memory $memory)))
  (core func $effect-lowered (canon lower (func $effect) (memory $memory) (realloc $realloc)))
  (core instance $given (export "$imports" (table $imports)) (export "0" (func $now-lowered))
    (export "1" (func $effect-lowered)))
  (core instance (instantiate $fixup (with "" (instance $given))))
  (core instance (instantiate $init
    (with "env" (instance $main)) (with "lib" (instance $lib)) (with "main" (instance $main))))
  (alias core export $lib "turn" (core func $turn))
  (func (export "turn") (param "input" string) (result string)
    (canon lift (core func $turn) (memory $memory) (realloc $realloc))))"""

INPUT = b'{"now_us":7000000}'
EXPECTED = b"AAAAAAwl128reply"


def played(carrier: object) -> tuple[ExecutionOutcome, int]:
    execution = Execution(**(DEFAULTS | {"input": INPUT, "replies": (b"reply",)}))
    return on_guest_stack(lambda: carrier.execute(execution))  # type: ignore[attr-defined, no-any-return]


def merged(change: Callable[[str], str] = lambda text: text) -> bytes:
    return merge(bytes(wasmtime.wat2wasm(change(COMPONENT))))


def test_the_merged_module_does_what_the_component_does() -> None:
    engine = make_engine()
    expected, _ = played(ComponentCarrier(engine, wc.Component(engine, COMPONENT)))
    found, _ = played(module_carrier(engine, wasmtime.Module(engine, merged()), ALL_OFF))
    assert (expected.status, expected.body) == ("completed", EXPECTED)
    assert (found.status, found.body) == ("completed", EXPECTED)


def test_one_table_one_memory_and_constants_in_place_of_what_nobody_writes_to() -> None:
    content = merged()
    module = parse(content, 0, len(content))
    assert (len(module.tables), len(module.memories), len(module.globals)) == (1, 1, 1)
    assert [f"{i.module}.{i.name}" for i in module.imports[Kind.FUNCTION]] == [
        "turnwise.effect",
        "wasi:clocks/monotonic-clock@0.2.9.now",
        "wasi:clocks/wall-clock@0.2.9.now",
    ]
    assert not any(module.imports[kind] for kind in (Kind.TABLE, Kind.MEMORY, Kind.GLOBAL))
    # realloc, time, later, double, next, add-one, turn, and three of the merging
    assert len(module.functions) == 10
    assert [elements.offset.globals for elements in module.elements] == [(), ()]


WITH_BYTES = """(component
  (import "effect" (func $effect (param "request" string) (result string)))
  (import "effect-bytes"
    (func $bytes (param "request" string) (param "content" (list u8)) (result (list u8))))
  (core module $libc
    (memory (export "memory") 1)
    (data (i32.const 64) "\\00\\ff\\fe")
    (global $top (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32)
      (global.get $top)
      (global.set $top (i32.add (global.get $top) (local.get $size)))))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $effect (canon lower (func $effect) (memory $memory) (realloc $realloc)))
  (core func $bytes (canon lower (func $bytes) (memory $memory) (realloc $realloc)))
  (core module $main
    (import "host" "memory" (memory 0))
    (import "host" "effect" (func $effect (param i32 i32 i32)))
    (import "host" "bytes" (func $bytes (param i32 i32 i32 i32 i32)))
    (func (export "turn") (param i32 i32) (result i32)
      (call $effect (local.get 0) (local.get 1) (i32.const 16))
      (call $bytes (i32.load (i32.const 16)) (i32.load (i32.const 20)) (i32.const 64) (i32.const 3) (i32.const 24))
      (i32.const 24)))
  (core instance $main (instantiate $main (with "host" (instance
    (export "memory" (memory $memory)) (export "effect" (func $effect)) (export "bytes" (func $bytes))))))
  (alias core export $main "turn" (core func $turn))
  (func (export "turn") (param "input" string) (result string)
    (canon lift (core func $turn) (memory $memory) (realloc $realloc))))"""


@pytest.mark.parametrize("switches", [ALL_OFF, ALL_ON])
def test_bytes_pass_beside_the_texts(switches: Switches) -> None:
    content = merge(bytes(wasmtime.wat2wasm(WITH_BYTES)))
    imports = parse(content, 0, len(content)).imports[Kind.FUNCTION]
    assert [f"{i.module}.{i.name}" for i in imports] == ["turnwise.effect", "turnwise.effect_bytes"]
    engine = make_engine()
    carrier = module_carrier(engine, wasmtime.Module(engine, content), switches)

    def execute(*replies: bytes) -> ExecutionOutcome:
        execution = Execution(**(DEFAULTS | {"input": INPUT, "replies": replies}))
        return on_guest_stack(lambda: carrier.execute(execution))[0]

    asked = execute(b"first")
    assert (asked.status, asked.body, asked.content) == ("needs", b"first", b"\0\xff\xfe")
    assert execute(b"first", b"second").body == b"second\n"


def test_the_same_component_is_merged_into_the_same_bytes() -> None:
    assert merged() == merged()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("(local.get 2) (i32.const 1))))", "(local.get 2) (i32.const 0))))", "passes calls on"),
        ("(elem (i32.const 0) $zero $one)", "(elem (i32.const 1) $zero)", "passes calls on"),
        ("(elem (i32.const 1) $f)", "(elem (i32.const 1) $f) (start $start-of-the-build)", "section 8"),
        ("(elem (i32.const 1) $f)", "(elem $e func $f)", "elements"),
        ("(drop (call $ticks))", "(drop (table.size 0))", "instruction"),
        ("(func $unused", '(data (i32.const 0) "x") (func $unused', "content of memory"),
        ("(func $unused", "(table 1 funcref) (func $unused", "tables"),
        ('(global (export "offset") i32 (i32.const 8))', "(global i64 (i64.const 8))", "constant"),
    ],
)
def test_another_form_of_component_stops_the_build(before: str, after: str, message: str) -> None:
    def change(text: str) -> str:
        assert before in text
        return text.replace(before, after)

    with pytest.raises(UnexpectedForm, match=message):
        merged(change)


def test_what_is_no_component_is_said() -> None:
    with pytest.raises(UnexpectedForm):
        merge(b"\0asm\1\0\0\0")
