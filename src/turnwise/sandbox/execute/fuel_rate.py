"""The time that a unit of fuel takes on this machine, at worst, measured with guests that get the most time for it.

Fuel counts operations, and what operations take differs by a factor of a thousand. These are the slowest that there are
by a unit of fuel: loads that miss every cache, and operations for which the engine calls into itself. Everything else
is cheaper or charged by what it does (`benchmarks/bench_fuel.py` prints the whole table).

    python -m turnwise.sandbox.execute.fuel_rate PARENT

prints nanoseconds of processor time for a unit. PARENT is the process that it belongs to, and does not outlive.
"""

from __future__ import annotations

import sys
import time
from typing import cast

import wasmtime

from turnwise.sandbox.execute.engine import make_engine
from turnwise.sharedmem.connect import die_with_parent

CHASE_BYTES = 128 * 1024 * 1024
"""Memory that is walked through: more than caches hold."""

LINE_BYTES = 64
FUEL = 2_000_000
REPEATS = 3

_LINES = CHASE_BYTES // LINE_BYTES
_CHASE = f"""(module
  (memory (export "memory") {CHASE_BYTES // 65536})
  (global $at (mut i32) (i32.const 0))
  (func (export "begin") (local $i i32)
    ;; every line holds the address of another: a walk of full length, by a generator of full period
    (loop $next
      (i32.store (i32.mul (local.get $i) (i32.const {LINE_BYTES}))
        (i32.mul (i32.const {LINE_BYTES})
          (i32.and (i32.const {_LINES - 1})
            (i32.add (i32.const 1013904223) (i32.mul (local.get $i) (i32.const 1664525))))))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {_LINES})))))
  (func (export "run") (local $p i32)
    (loop $next
      (local.set $p {"(i32.load " * 32}(local.get $p){")" * 32})
      (br $next))))"""

_CALLS = {
    "memory.grow": f"(drop {'(memory.grow ' * 16}(i32.const 0){')' * 16})",
    "memory.fill": "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))" * 16,
    "table.grow": "(drop (table.grow (ref.null func) (i32.const 0)))" * 16,
    "ref.func": "(drop (ref.func $f))" * 16,
    "elem.drop": "(elem.drop $e)" * 16,
    "f64x2.sqrt": f"(local.set $v {'(f64x2.sqrt ' * 16}(local.get $v){')' * 16})",
}


def guests() -> dict[str, str]:
    """Return the guests that are measured, as text by name; each exports `begin` and `run`, which uses up its fuel."""
    called = {
        name: f"""(module
          (memory 1) (table 1 10 funcref) (func $f) (elem $e func $f)
          (func (export "begin"))
          (func (export "run") (local $v v128) (loop $next {body} (br $next))))"""
        for name, body in _CALLS.items()
    }
    return {"load": _CHASE} | called


def measure(engine: wasmtime.Engine, wat: str, *, fuel: int = FUEL, repeats: int = REPEATS) -> float:
    """Return nanoseconds of processor time for a unit of fuel in `wat`, the slowest of `repeats` runs."""
    store = wasmtime.Store(engine)
    store.set_fuel(1 << 40)
    exports = wasmtime.Instance(store, wasmtime.Module(engine, wat), []).exports(store)
    begin, run = cast("wasmtime.Func", exports["begin"]), cast("wasmtime.Func", exports["run"])
    begin(store)
    slowest = 0
    for _ in range(repeats):
        store.set_fuel(fuel)
        started = time.process_time_ns()
        try:
            run(store)
        except wasmtime.Trap as trap:
            if trap.trap_code is not wasmtime.TrapCode.OUT_OF_FUEL:
                raise
        slowest = max(slowest, time.process_time_ns() - started)
    return slowest / fuel


def measure_all() -> dict[str, float]:
    """Return nanoseconds of processor time for a unit of fuel, by guest."""
    engine = make_engine()
    return {name: measure(engine, wat) for name, wat in guests().items()}


def main() -> None:
    """Print the slowest rate."""
    die_with_parent(int(sys.argv[1]))
    print(max(measure_all().values()))


if __name__ == "__main__":
    main()
