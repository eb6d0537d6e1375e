"""Turns per second of whole, durable runs, beside the bare loop of the same WebAssembly calls.

    python benchmarks/bench_turns.py [--agents 10,100,1000,10000] [--python-agents 10,100] [--seconds 2] [--repeats 5]

One worker. Each line is one JSON object: `turns_per_s` of a run (journal on disk, head, one commit a round),
`bare_per_s` of a loop in this process that makes the same calls on the same engine with the same input and nothing
else, and `ratio`, the median of the ratios of neighbouring measurements, with `spread` (least and greatest). Runs and
loops alternate. Every measurement checks that what it measured happened: the right number of turns, none failed, the
right output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import wasmtime

import turnwise
from turnwise.sandbox.build.code import Code, Source, prepare
from turnwise.sandbox.execute.component import ComponentCarrier
from turnwise.sandbox.execute.engine import make_engine
from turnwise.sandbox.execute.execution import Execution
from turnwise.sandbox.execute.wasi import Wasi
from turnwise.system.cores import cores

OUTPUT = b'{"state":"","wake_in":1}'
NO_OP_WAT = """
(module
  (memory (export "memory") 1)
  (data (i32.const 16) "{\\22state\\22:\\22\\22,\\22wake_in\\22:1}")
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "turnwise_turn") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 24))))
"""
NO_OP_PYTHON = "from turnwise_guest import Turn\n\ndef turn(t: Turn) -> None:\n    t.wake_in(1)\n"
PYTHON_OUTPUT = {"state": "{}", "wake_in": 1}
FUEL = 5_000_000_000
MEMORY_BYTES = 64 * 1024 * 1024


def world(source: str, agents: int) -> turnwise.World:
    return turnwise.World(
        name="no-op", rounds_max=10**6, agents={"noop": turnwise.Agent(source, count=agents, start=True)}
    )


def envelope(state: str) -> dict[str, object]:
    """An input as the run gives it."""
    return {
        "abi": 1,
        "self": "noop-5",
        "kind": "noop",
        "args": {},
        "round": 2,
        "turn": 2,
        "now_us": 946_684_801_000_000,
        "seed": "5" * 64,
        "state": state,
        "inbox": [],
    }


def of_run(source: str, agents: int, seconds: float) -> float:
    """Turns per second of a run, after its first round, for about so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        with turnwise.start(world(source, agents), workers=1, journal=Path(folder, "bench.journal")) as live:
            live.step()
            start = time.perf_counter()
            live.play()
            live.wait(seconds)
            live.stop()
            live.wait()
            elapsed = time.perf_counter() - start
            rounds = live.progress().round - 1
        with turnwise.open(live.journal) as run:
            assert (len(run.turns), len(run.failures)) == ((rounds + 1) * agents, 0)
    return rounds * agents / elapsed


def bare_module(code: Code) -> Callable[[], None]:
    """One turn of a core module by the public API: store, fuel, instance, input in, call, output out."""
    engine = make_engine()
    linker = wasmtime.Linker(engine)
    pre = linker.instantiate_pre(wasmtime.Module.deserialize_file(engine, str(code.path)))
    input_ = json.dumps(envelope("")).encode()

    def turn() -> None:
        store = wasmtime.Store(engine)
        store.set_limits(memory_size=MEMORY_BYTES)
        store.set_fuel(FUEL)
        exports = pre.instantiate(store).exports(store)
        memory = exports["memory"]
        memory.write(store, input_, exports["turnwise_alloc"](store, len(input_)))
        packed = exports["turnwise_turn"](store, 1024, len(input_))
        assert memory.read(store, packed >> 32, (packed >> 32) + (packed & 0xFFFFFFFF)) == OUTPUT
        store.close()

    return turn


def bare_component(code: Code) -> Callable[[], None]:
    """One turn of a Python agent: store, fuel, instance of the interpreter, call; WASI is answered as in a run."""
    engine = make_engine()
    component = wasmtime.component.Component.deserialize_file(engine, str(code.path))
    carrier = ComponentCarrier(engine, component)
    text = json.dumps(envelope("{}") | {"program": code.program})
    index = component.get_export_index("turn")
    assert index is not None

    def turn() -> None:
        store = wasmtime.Store(engine)
        store.set_limits(memory_size=MEMORY_BYTES)
        store.set_fuel(FUEL)
        carrier._wasi = Wasi(Execution(text.encode(), (), FUEL, MEMORY_BYTES, 4 * 1024 * 1024))
        output = carrier._linker.instantiate(store, component).get_func(store, index)(store, text)
        assert json.loads(output) == PYTHON_OUTPUT
        store.close()

    return turn


def of_loop(turn: Callable[[], None], seconds: float) -> float:
    """Turns per second of a bare loop."""
    for _ in range(5):
        turn()
    count = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        for _ in range(20):
            turn()
        count += 20
    return count / elapsed


def measure(
    name: str, source: str, agents: int, bare: Callable[[], None], seconds: float, repeats: int
) -> Iterator[str]:
    runs, loops = [], []
    for _ in range(repeats):
        runs.append(of_run(source, agents, seconds))
        loops.append(of_loop(bare, seconds))
    ratios = [run / loop for run, loop in zip(runs, loops, strict=True)]
    yield json.dumps(
        {
            "benchmark": "turns",
            "agents": name,
            "agents_per_round": agents,
            "workers": 1,
            "turns_per_s": round(statistics.median(runs)),
            "bare_per_s": round(statistics.median(loops)),
            "ratio": round(statistics.median(ratios), 3),
            "spread": [round(min(ratios), 3), round(max(ratios), 3)],
            "repeats": repeats,
            "cores": cores(),
            "python": sys.version.split()[0],
            "wasmtime": version("wasmtime"),
        }
    )


def warm_start(source: str) -> float:
    """Seconds from `start` to the first durable turn, with everything compiled before."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with turnwise.start(world(source, 1), workers=1, journal=Path(folder, "bench.journal")) as live:
            assert live.step() is not None
            return time.perf_counter() - start


def codes() -> list[Code]:
    return asyncio.run(
        prepare(
            [
                Source("bench", "wat", {"noop.wat": NO_OP_WAT.encode()}, "noop.wat"),
                Source("bench", "python", {"noop.py": NO_OP_PYTHON.encode()}, "noop.py"),
            ]
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", default="10,100,1000,10000")
    parser.add_argument("--python-agents", default="10,100")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    module, python = codes()
    cases = [("core module", NO_OP_WAT, n, bare_module(module)) for n in map(int, options.agents.split(","))]
    cases += [("Python", NO_OP_PYTHON, n, bare_component(python)) for n in map(int, options.python_agents.split(","))]
    for name, source, agents, bare in cases:
        for line in measure(name, source, agents, bare, options.seconds, options.repeats):
            print(line, flush=True)
    for name, source in (("core module", NO_OP_WAT), ("Python", NO_OP_PYTHON)):
        times = [warm_start(source) for _ in range(options.repeats)]
        line = {"benchmark": "warm start to first durable turn", "agents": name, "workers": 1}
        spread = [round(min(times), 3), round(max(times), 3)]
        print(json.dumps(line | {"seconds": round(statistics.median(times), 3), "spread": spread}), flush=True)


if __name__ == "__main__":
    main()
