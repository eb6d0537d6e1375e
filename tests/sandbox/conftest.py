"""Guests written inline: WAT beside the assertion that holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from wasmtime import component as wc

from turnwise.sandbox.execute.component import ComponentCarrier
from turnwise.sandbox.execute.engine import make_engine, on_guest_stack
from turnwise.sandbox.execute.execution import Execution, ExecutionOutcome
from turnwise.sandbox.execute.modules import Carrier, ModuleLoader
from turnwise.sandbox.execute.switches import ALL_OFF, ALL_ON, Switches

MIB = 1024 * 1024
DEFAULTS: dict[str, Any] = {
    "input": b'{"abi":1,"now_us":946684800000000,"seed":"5eed"}',
    "replies": (),
    "fuel": 1_000_000_000,
    "memory_bytes": 64 * MIB,
    "output_bytes_max": 4 * MIB,
}

Run = Callable[..., tuple[ExecutionOutcome, int, Execution]]

PARTS = """
  (import "turnwise" "effect" (func $effect (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 1024))
  (func $pack (param $pointer i32) (param $length i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get $pointer)) (i64.const 32)) (i64.extend_i32_u (local.get $length))))
"""
ALLOC = """
  (func $alloc (export "turnwise_alloc") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.add (global.get $top) (local.get $size)))
    (local.get $at))
"""


@pytest.fixture(scope="session")
def engine() -> wasmtime.Engine:
    return make_engine()


WAYS = {
    "python": ALL_OFF,
    "python-pool": Switches(c_library=False),
    "c": Switches(pool=False),
    "c-pool": ALL_ON,
}
"""Every way of executing core modules; each test of theirs runs in all."""


@pytest.fixture(scope="session", params=WAYS)
def switches(request: pytest.FixtureRequest) -> Switches:
    """The switches of one way of executing core modules."""
    return WAYS[request.param]


@pytest.fixture(scope="session")
def carry(
    engine: wasmtime.Engine, switches: Switches, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Carrier]:
    """Makes the carrier of a core module, given as text, that `switches` choose."""
    path = tmp_path_factory.mktemp("modules") / "module"
    loader = ModuleLoader(engine, switches)

    def load(wat: str) -> Carrier:
        path.unlink(missing_ok=True)
        path.write_bytes(wasmtime.Module(engine, wat).serialize())
        return loader.load(str(path))

    return load


@pytest.fixture(scope="session")
def run_module(carry: Callable[[str], Carrier]) -> Run:
    """Runs one execution of a core module. `turn` is the body of `turnwise_turn(ptr $p, len $n) -> i64`."""

    def run(
        turn: str, *, alloc: str = ALLOC, parts: str = "", **changes: Any
    ) -> tuple[ExecutionOutcome, int, Execution]:
        wat = f"""(module {PARTS} {alloc} {parts}
          (func (export "turnwise_turn") (param $p i32) (param $n i32) (result i64) {turn}))"""
        execution = Execution(**(DEFAULTS | changes))
        carrier = carry(wat)
        return *on_guest_stack(lambda: carrier.execute(execution)), execution

    return run


COMPONENT = """(component
  (import "effect" (func $effect (param "request" string) (result string)))
  {imports}
  (core module $libc
    (memory (export "memory") {pages})
    (global $top (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $top))
      (global.set $top (i32.add (local.get $at) (local.get $size)))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $effect (canon lower (func $effect) (memory $memory) (realloc $realloc)))
  {lowered}
  (core module $main
    (import "host" "memory" (memory 0))
    (import "host" "effect" (func $effect (param i32 i32 i32)))
    {host}
    {parts}
    (func $answer (param $pointer i32) (param $length i32) (result i32)
      (i32.store (i32.const 16) (local.get $pointer))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 16))
    (func (export "turn") (param $p i32) (param $n i32) (result i32) {turn}))
  (core instance $main (instantiate $main (with "host" (instance
    (export "memory" (memory $memory))
    (export "effect" (func $effect))
    {given}))))
  (alias core export $main "turn" (core func $turn))
  (func (export "turn") (param "input" string) (result string)
    (canon lift (core func $turn) (memory $memory) (realloc $realloc))))"""


@pytest.fixture(scope="session")
def run_component(engine: wasmtime.Engine) -> Run:
    """Runs one execution of a component. `turn` is the body of `turn(ptr $p, len $n) -> i32`; see `COMPONENT`."""

    def run(turn: str, **changes: Any) -> tuple[ExecutionOutcome, int, Execution]:
        wat = {"imports": "", "pages": "1", "lowered": "", "host": "", "parts": "", "given": ""}
        wat |= {name: changes.pop(name) for name in tuple(changes) if name in wat}
        execution = Execution(**(DEFAULTS | changes))
        text = COMPONENT.format(turn=turn, **wat)
        carrier = ComponentCarrier(engine, wc.Component(engine, text))
        return *on_guest_stack(lambda: carrier.execute(execution)), execution

    return run
