"""Modules on trial: those that keep to the contract, and each way in which one does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnwise.orchestrator.loop_thread import run_alone
from turnwise.orchestrator.module_check import ModuleCheck, check_module

OUTPUT = '(data (i32.const 16) "{\\22state\\22:\\22\\22}")'
RETURN = "(i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 12))"


def module(
    turn: str = RETURN,
    parts: str = OUTPUT,
    memory: str = '(memory (export "memory") 1)',
    alloc: str = "(i32.const 1024)",
) -> str:
    return f"""(module {parts.partition("%")[0] if "%" in parts else ""} {memory} {parts.partition("%")[2] or parts}
      (func (export "turnwise_alloc") (param i32) (result i32) {alloc})
      (func (export "turnwise_turn") (param $p i32) (param $n i32) (result i64) {turn}))"""


EFFECT = '(import "turnwise" "effect" (func $effect (param i32 i32) (result i64)))%'
ASKS = '(data (i32.const 16) "{\\22effect\\22:\\22generate\\22,\\22model\\22:\\22m\\22,\\22prompt\\22:\\22\\22}")'


def check(text: str, folder: Path) -> ModuleCheck:
    path = folder / "agent.wat"
    path.write_text(text)
    return run_alone(check_module(path))


def test_a_module_that_keeps_to_the_contract_has_no_problem(tmp_path: Path) -> None:
    found = check(module(), tmp_path)
    assert (found.problems, found.carrier) == ((), "module")
    assert len(found.fuel) == 2
    assert min(found.fuel) > 0


def test_a_module_that_asks_for_an_effect_has_no_problem(tmp_path: Path) -> None:
    turn = "(call $effect (i32.const 16) (i32.const 45))"
    found = check(module(turn, EFFECT + ASKS), tmp_path)
    assert found.problems == ()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (module(parts='(import "env" "abort" (func))%' + OUTPUT), "it imports `env.abort`", "turnwise.effect"),
        (
            module(parts='(import "wasi_snapshot_preview1" "fd_write" (func))%' + OUTPUT),
            "it imports `wasi_snapshot_preview1.fd_write`",
            "Compile without a system",
        ),
        (module(memory="(memory 1)"), "it does not export its `memory`", "--import-memory"),
        (module(parts=OUTPUT + '(func (export "main"))'), "it exports `main`", "Export only"),
        (module().replace("turnwise_turn", "turn"), "it does not export `turnwise_turn", "export_name"),
        (module().replace("turnwise_alloc", "alloc"), "it does not export `turnwise_alloc", "export_name"),
        (
            module().replace('"turnwise_alloc") (param i32)', '"turnwise_alloc") (param i64)'),
            "`turnwise_alloc` is (i64) -> i32; it must be (i32) -> i32",
            "pointers and lengths are i32",
        ),
        ("(module (func $f (unknown)))", "unknown", "docs/abi.md"),
        (module("(unreachable)"), "a turn without mail fails (trap)", "function of the trace"),
        (module("(loop (br 0)) (i64.const 0)"), "a turn without mail fails (fuel)", "without an end"),
        (module("(i64.const 0)"), "a turn without mail", "docs/abi.md"),
        (module(alloc="(i32.const 0)"), "(memory)", "memory_mib"),
        (module(alloc="(i32.const 65535)"), "beyond the memory", "may lie outside"),
        (module(memory='(memory (export "memory") 2000)'), "(memory)", "memory_mib"),
        (module(parts=OUTPUT.replace("state", "stats")), "is not of the ABI's form", "docs/abi.md"),
        (module("(call $effect (i32.const 16) (i32.const 12))", EFFECT + OUTPUT), "is not of the ABI's form", "abi.md"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(text: str, message: str, hint: str, tmp_path: Path) -> None:
    found = check(text, tmp_path)
    assert message in found.problems[0].message
    assert hint in found.problems[0].hint
    assert found.problems[0].where.endswith("agent.wat") or "agent.wat:" in found.problems[0].where
    assert not found.problems[0].is_warning


def test_every_problem_of_the_contract_is_named(tmp_path: Path) -> None:
    found = check('(module (import "env" "abort" (func)) (func (export "main")))', tmp_path)
    assert len(found.problems) == 5


def test_the_second_turn_has_what_the_first_left(tmp_path: Path) -> None:
    """A module that traps where its input is longer than that of a turn without mail."""
    turn = f"(if (i32.gt_u (local.get $n) (i32.const 230)) (then (unreachable))) {RETURN}"
    found = check(module(turn), tmp_path)
    assert "a turn with a message fails (trap)" in found.problems[0].message
    assert len(found.fuel) == 2


def test_an_error_that_an_agent_declares_may_be_meant(tmp_path: Path) -> None:
    told = '(data (i32.const 16) "{\\22error\\22:\\22no args\\22}")'
    found = check(module(parts=told).replace("(i64.const 12)", "(i64.const 19)"), tmp_path)
    assert "no args" in found.problems[0].message
    assert found.problems[0].is_warning


def test_a_file_that_is_no_module_is_named(tmp_path: Path) -> None:
    (tmp_path / "agent.wasm").write_bytes(b"#!/bin/sh")
    assert "no WebAssembly binary" in run_alone(check_module(tmp_path / "agent.wasm")).problems[0].message
    assert "cannot be read" in run_alone(check_module(tmp_path / "other.wasm")).problems[0].message
