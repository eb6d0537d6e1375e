"""Imports and exports that the contract does not have are refused, by name."""

from __future__ import annotations

import pytest
import wasmtime
from wasmtime import component as wc

from turnwise.sandbox.build.contract import ContractError, check_component, check_module

EFFECT = '(import "turnwise" "effect" (func (param i32 i32) (result i64)))'
MEMORY = '(memory (export "memory") 1)'
ALLOC = '(func (export "turnwise_alloc") (param i32) (result i32) (i32.const 8))'
TURN = '(func (export "turnwise_turn") (param i32 i32) (result i64) (i64.const 0))'


def check(engine: wasmtime.Engine, wat: str) -> None:
    if wat.startswith("(component"):
        check_component(wc.Component(engine, wat), engine)
    else:
        check_module(wasmtime.Module(engine, wat))


def refusal(engine: wasmtime.Engine, wat: str) -> str:
    with pytest.raises(ContractError) as caught:
        check(engine, wat)
    return str(caught.value)


def test_a_module_that_keeps_the_contract_is_accepted(engine: wasmtime.Engine) -> None:
    layout = '(global (export "__heap_base") i32 (i32.const 1024)) (global (export "__data_end") i32 (i32.const 8))'
    for parts in (MEMORY + ALLOC + TURN, EFFECT + MEMORY + ALLOC + TURN + layout):
        check_module(wasmtime.Module(engine, f"(module {parts})"))


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        (ALLOC + TURN, "does not export its `memory`"),
        (MEMORY + TURN, "does not export `turnwise_alloc(i32) -> i32`"),
        (MEMORY + ALLOC, "does not export `turnwise_turn(i32, i32) -> i64`"),
        (MEMORY + ALLOC + '(func (export "turnwise_turn") (param i32 i32))', "`turnwise_turn` is (i32, i32) -> ()"),
        (MEMORY + ALLOC + '(global (export "turnwise_turn") i32 (i32.const 0))', "`turnwise_turn` is not a function"),
        (ALLOC + TURN + '(table (export "memory") 1 funcref)', "does not export its `memory`"),
        (MEMORY + ALLOC + TURN + '(func (export "main"))', "exports `main`"),
        (MEMORY + ALLOC + TURN + '(func (export "__heap_base"))', "exports `__heap_base`"),
        ('(import "env" "abort" (func))' + MEMORY + ALLOC + TURN, "imports `env.abort`"),
        ('(import "turnwise" "effect" (func))' + MEMORY + ALLOC + TURN, "`turnwise.effect` must be a function"),
        ('(import "turnwise" "effect" (global i32))' + MEMORY + ALLOC + TURN, "`turnwise.effect` must be a function"),
        ('(import "turnwise" "effect_bytes" (func (param i32 i32) (result i64)))' + MEMORY + ALLOC + TURN, "must be"),
        (
            '(import "turnwise" "effect_text" (func))' + MEMORY + ALLOC + TURN,
            "`turnwise.effect_bytes` and functions of",
        ),
        ('(import "turnwise" "memory" (memory 1)) (export "memory" (memory 0))' + ALLOC + TURN, "`turnwise.memory`"),
        (
            '(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))'
            + MEMORY
            + ALLOC
            + TURN,
            "imports `wasi_snapshot_preview1.fd_write`",
        ),
    ],
)
def test_a_module_that_does_not_is_refused(engine: wasmtime.Engine, parts: str, named: str) -> None:
    assert named in refusal(engine, f"(module {parts})")


def test_everything_that_is_wrong_is_said_at_once(engine: wasmtime.Engine) -> None:
    text = refusal(engine, '(module (import "a" "b" (func)) (func (export "c")))')
    assert len(text.splitlines()) == 5


def wasi(interface: str, exports: str) -> str:
    return f'(component (import "{interface}" (instance {exports})))'


@pytest.mark.parametrize(
    ("wat", "named"),
    [
        ("(component)", "does not export the function `turn`"),
        ('(component (import "effect" (func)))', "`effect` must be a function: func(string) -> string"),
        ('(component (import "log" (func (param "x" string))))', "imports `log`"),
        (wasi("wasi:clocks/wall-clock@0.3.0", ""), "imports `wasi:clocks/wall-clock@0.3.0`"),
        (wasi("wasi:clocks/wall-clock@0.2.x", ""), None),
        (wasi("acme:disk/raw@0.2.0", ""), "imports `acme:disk/raw@0.2.0`"),
        (
            wasi("wasi:clocks/wall-clock@0.2.0", '(export "now" (func (result string)))'),
            "has `now` as func() -> string",
        ),
        (wasi("wasi:clocks/wall-clock@0.2.0", '(export "now" (func (param "x" u8)))'), "has `now` as func(u8)"),
        (wasi("wasi:made/up@0.2.0", '(export "f" (instance))'), "has `f`, which is neither a function nor a type"),
        ('(component (instance $i) (export "turn" (instance $i)))', "does not export the function `turn`"),
        ('(component (instance $i) (export "other" (instance $i)))', "exports `other`"),
    ],
)
def test_a_component_that_does_not_keep_it_is_refused(engine: wasmtime.Engine, wat: str, named: str | None) -> None:
    if named is None:
        with pytest.raises(wasmtime.WasmtimeError):
            wc.Component(engine, wat)
        return
    assert named in refusal(engine, wat)


def test_functions_of_wasi_that_are_not_answered_may_be_imported(engine: wasmtime.Engine) -> None:
    text = refusal(engine, wasi("wasi:http/made-up@0.2.9", '(export "f" (func (param "x" (list string))))'))
    assert text == "it does not export the function `turn`: func(string) -> string"
