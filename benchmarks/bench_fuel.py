"""Nanoseconds of processor time for a unit of fuel, for guests that make little or much of it: median and spread.

    python benchmarks/bench_fuel.py [--repeats N]

The slowest bound what a turn can take (docs/decisions/0029-fuel-and-time.md). Every run uses up its fuel exactly; that
it does is the check.
"""

from __future__ import annotations

import argparse
import statistics

from turnwise.sandbox.execute.engine import make_engine
from turnwise.sandbox.execute.fuel_rate import guests, measure

BODIES = {
    "nothing but a loop": "",
    "i32.add": "(local.set $p (i32.add (local.get $p) (i32.const 1)))" * 16,
    "i64.div_u": "(local.set $q (i64.div_u (i64.const -1) (i64.or (local.get $q) (i64.const 3))))" * 16,
    "f64.div": "(local.set $x (f64.div (f64.const 3.1) (local.get $x)))" * 16,
    "call": "(call $f)" * 16,
    "call_indirect": "(call_indirect (i32.const 0))" * 16,
    "memory.copy of 8 KB": "(memory.copy (i32.const 0) (i32.const 1) (i32.const 8000))",
    "memory.copy of 0 bytes": "(memory.copy (i32.const 0) (i32.const 0) (i32.const 0))" * 16,
    "memory.fill of 8 KB": "(memory.fill (i32.const 0) (i32.const 1) (i32.const 8000))",
    "memory.grow in vain": "(drop (memory.grow (i32.const -1)))" * 16,
    "table.copy of 60,000": "(table.copy (i32.const 0) (i32.const 1) (i32.const 60000))",
    "table.fill of 60,000": "(table.fill (i32.const 0) (ref.null func) (i32.const 60000))",
    "table.init of 1": "(table.init $e (i32.const 0) (i32.const 0) (i32.const 1))" * 16,
    "table.init of 0": "(table.init $e (i32.const 0) (i32.const 0) (i32.const 0))" * 16,
    "stores over pages": "(i64.store offset=61 (local.tee $p (i32.and (i32.add (local.get $p) (i32.const 4096))"
    " (i32.const 0xff000))) (i64.const 1))",
}


def core_module(body: str) -> str:
    return f"""(module (memory 17 1024) (table 60001 65536 funcref) (func $f) (elem (i32.const 0) $f) (elem $e func $f)
      (func (export "begin"))
      (func (export "run") (local $p i32) (local $q i64) (local $x f64) (loop $next {body} (br $next))))"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    engine = make_engine()
    table = {name: core_module(body) for name, body in BODIES.items()} | guests()
    print("| guest | ns a unit of fuel | from | to |")
    print("|---|---|---|---|")
    for name, wat in table.items():
        rates = sorted(measure(engine, wat, fuel=5_000_000, repeats=1) for _ in range(options.repeats))
        print(f"| {name} | {statistics.median(rates):.3f} | {rates[0]:.3f} | {rates[-1]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
