"""Turns per second of whole, durable runs, beside the lean loop of the same WebAssembly calls.

    python benchmarks/bench_turns.py [--agents 1000] [--workers 1,2] [--python-agents 100] [--javascript-agents 1000]
        [--seconds 2] [--repeats 5]

Each line is one JSON object: `turns_per_s` of a run (journal on disk, head, one commit a round), `lean_per_s` of a loop
in this process that makes the same calls on an engine with the same settings with the same input and nothing else (by
the C library, in the slot of the pooling allocator), and `ratio`, the median of the ratios of neighbouring
measurements, with `spread` (least and greatest). Runs with each number of workers and the loop alternate. `cpu_us` is
the processor time of a turn, of all processes together, and `loop_us` that of the orchestrator's. The last lines
measure rounds of two agents: the time of one when the next overlaps with its commit, and when it is durable before the
next begins; and the time from starting a run to its first turn on disk. Every measurement checks that what it measured
happened: the right number of turns, none failed, the right output.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import wasmtime

import turnwise
from turnwise.sandbox.build.code import Code, Source, prepare
from turnwise.sandbox.execute import c_library as c
from turnwise.sandbox.execute.pooling import INTERPRETER_RESET_BYTES, RESET_BYTES, make_pooling_engine
from turnwise.sandbox.execute.wasi_core import NO_ITEMS
from turnwise.sandbox.pool.pool import Pool
from turnwise.system.clock import SYSTEM_CLOCK
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
PYTHON_OUTPUT = b'{"wake_in":1,"state":"{}"}'
NO_OP_JAVASCRIPT = "export function turn(t) {\n  t.wakeIn(1);\n}\n"
JAVASCRIPT_OUTPUT = b'{"state":"{}","wake_in":1}'
FUEL = 5_000_000_000
MEMORY_BYTES = 64 * 1024 * 1024
WARM_ROUNDS = 3


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


@dataclass(frozen=True, slots=True)
class Measured:
    """A run, after its first rounds."""

    turns_per_s: float
    cpu_us: float
    """Processor time of a turn, of all processes."""
    loop_us: float
    """Processor time of a turn in the orchestrator's process."""


def of_run(source: str, agents: int, seconds: float, workers: int) -> Measured:
    """Measure a run for about so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        with turnwise.start(world(source, agents), workers=workers, journal=Path(folder, "bench.journal")) as live:
            for _ in range(WARM_ROUNDS):
                live.step()
            start, own, theirs = time.perf_counter(), time.process_time(), children_s(live)
            live.play()
            live.wait(seconds)
            live.stop()
            live.wait()
            elapsed = time.perf_counter() - start
            own, theirs = time.process_time() - own, children_s(live) - theirs
            rounds = live.progress().round - WARM_ROUNDS
        with turnwise.open(live.journal) as run:
            assert (len(run.turns), len(run.failures)) == ((rounds + WARM_ROUNDS) * agents, 0)
    turns = rounds * agents
    return Measured(turns / elapsed, (own + theirs) / turns * 1e6, own / turns * 1e6)


def children_s(live: turnwise.Live) -> float:
    """Processor time of the workers of a run so far, in seconds."""
    assert live._session is not None
    sandboxes = live._session._driver.sandboxes
    assert isinstance(sandboxes, Pool)
    return sum(SYSTEM_CLOCK.processor_s(pid) or 0.0 for pid in sandboxes.pids)


def of_rounds(seconds: float) -> dict[str, float]:
    """Milliseconds of a round of two core modules: overlapping with its commit, and durable before the next."""
    found = {}
    for name in ("overlapped_ms", "durable_ms"):
        with tempfile.TemporaryDirectory() as folder:
            with turnwise.start(world(NO_OP_WAT, 2), workers=1, journal=Path(folder, "bench.journal")) as live:
                for _ in range(20):
                    live.step()
                start = time.perf_counter()
                if name == "overlapped_ms":
                    live.play()
                    live.wait(seconds)
                    live.stop()
                    live.wait()
                else:
                    while time.perf_counter() - start < seconds:
                        live.step()
                elapsed = time.perf_counter() - start
                rounds = live.progress().round - 20
            with turnwise.open(live.journal) as run:
                assert (len(run.turns), len(run.failures)) == ((rounds + 20) * 2, 0)
        found[name] = elapsed / rounds * 1000
    return found


def lean_module(code: Code) -> Callable[[], None]:
    """One turn of a core module by the C library, in the slot: store, limits, fuel, instance, input, call, output."""
    return _lean(code, json.dumps(envelope("")).encode(), OUTPUT, RESET_BYTES)


def lean_interpreter(code: Code) -> Callable[[], None]:
    """The same of a JavaScript agent, in the slot of interpreters."""
    text = json.dumps(envelope("{}") | {"program": code.program}, separators=(",", ":"))
    return _lean(code, text.encode(), JAVASCRIPT_OUTPUT, INTERPRETER_RESET_BYTES)


def _lean(code: Code, input_: bytes, output: bytes, reset_bytes: int) -> Callable[[], None]:
    engine = make_pooling_engine(reset_bytes)
    linker = wasmtime.Linker(engine)
    for name, parameters in (("effect", 2), ("effect_bytes", 4)):
        kind = wasmtime.FuncType([wasmtime.ValType.i32()] * parameters, [wasmtime.ValType.i64()])
        linker.define_func("turnwise", name, kind, lambda *_: 0)
    module = wasmtime.Module.deserialize_file(engine, str(code.path))

    def empty(place: int) -> None:
        ctypes.memmove(c.memory_data(contexts[-1], memory) + place, NO_ITEMS, len(NO_ITEMS))

    def unexpected(*_: int) -> None:
        raise AssertionError("a turn that does nothing called the host")

    for item in module.imports:
        if item.module != "turnwise":  # a Python agent's turn asks for arguments and environment
            answer = empty if item.module.startswith("wasi:cli/environment") else unexpected
            linker.define_func(item.module, item.name, item.type, answer)
    contexts: list[int] = []
    pre = linker.instantiate_pre(module)
    engine_at, pre_at = (ctypes.addressof(one.ptr().contents) for one in (engine, pre))
    instance = ctypes.create_string_buffer(c.INSTANCE_BYTES)
    externs = [ctypes.create_string_buffer(c.EXTERN_BYTES) for _ in range(3)]
    memory, alloc, call = (ctypes.addressof(extern) + c.EXTERN_VALUE_OFFSET for extern in externs)
    values = (ctypes.c_int64 * 4)()
    trap = ctypes.c_void_p()
    values_at, trap_at, instance_at = ctypes.addressof(values), ctypes.addressof(trap), ctypes.addressof(instance)
    names = (b"memory", b"turnwise_alloc", b"turnwise_turn")

    def turn(_held: object = (engine, linker, module, pre, instance, trap)) -> None:
        store = c.store_new(engine_at, None, None)
        context = c.store_context(store)
        contexts[:] = [context]
        c.store_limiter(store, MEMORY_BYTES, -1, -1, -1, -1)
        c.context_set_fuel(context, FUEL)
        assert not c.instance_pre_instantiate(pre_at, context, instance_at, trap_at)
        for name, extern in zip(names, externs, strict=True):
            c.instance_export_get(context, instance_at, name, len(name), extern)
        values[0] = len(input_)
        assert not c.func_call_unchecked(context, alloc, values_at, 1, trap_at)
        at = values[0]
        ctypes.memmove(c.memory_data(context, memory) + at, input_, len(input_))
        values[0], values[2] = at, len(input_)
        assert not c.func_call_unchecked(context, call, values_at, 2, trap_at)
        packed = values[0]
        found = ctypes.string_at(c.memory_data(context, memory) + (packed >> 32), packed & 0xFFFFFFFF)
        assert found == output, found
        c.store_delete(store)

    return turn


def lean_python(code: Code) -> Callable[[], None]:
    """The same of a Python agent, in the slot of core modules."""
    text = json.dumps(envelope("{}") | {"program": code.program}, separators=(",", ":"))
    return _lean(code, text.encode(), PYTHON_OUTPUT, RESET_BYTES)


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
    name: str, source: str, agents: int, lean: Callable[[], None], workers: list[int], seconds: float, repeats: int
) -> Iterator[str]:
    runs: dict[int, list[Measured]] = {count: [] for count in workers}
    loops = []
    for _ in range(repeats):
        for count, found in runs.items():
            found.append(of_run(source, agents, seconds, count))
        loops.append(of_loop(lean, seconds))
    for count, found in runs.items():
        ratios = [run.turns_per_s / loop for run, loop in zip(found, loops, strict=True)]
        yield json.dumps(
            {
                "benchmark": "turns",
                "agents": name,
                "agents_per_round": agents,
                "workers": count,
                "turns_per_s": round(statistics.median(run.turns_per_s for run in found)),
                "turns_spread": [round(edge(run.turns_per_s for run in found)) for edge in (min, max)],
                "lean_per_s": round(statistics.median(loops)),
                "ratio": round(statistics.median(ratios), 3),
                "spread": [round(min(ratios), 3), round(max(ratios), 3)],
                "cpu_us": round(statistics.median(run.cpu_us for run in found), 1),
                "loop_us": round(statistics.median(run.loop_us for run in found), 1),
                "turns_per_cpu_s": round(statistics.median(1e6 / run.cpu_us for run in found)),
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


def edited(source: str, number: int) -> str:
    """A source that was never compiled before: what its author does between two runs."""
    return f"{source}\n# {time.time_ns()} {number}\n"


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def codes() -> list[Code]:
    return asyncio.run(
        prepare(
            [
                Source("bench", "wat", {"noop.wat": NO_OP_WAT.encode()}, "noop.wat"),
                Source("bench", "python", {"noop.py": NO_OP_PYTHON.encode()}, "noop.py"),
                Source("bench", "javascript", {"noop.js": NO_OP_JAVASCRIPT.encode()}, "noop.js"),
            ]
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", default="1000")
    parser.add_argument("--python-agents", default="100")
    parser.add_argument("--javascript-agents", default="1000")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    module, python, javascript = codes()
    lean_of_module, lean_of_python = lean_module(module), lean_python(python)
    cases = [("core module", NO_OP_WAT, n, lean_of_module) for n in numbers(options.agents)]
    cases += [("Python", NO_OP_PYTHON, n, lean_of_python) for n in numbers(options.python_agents)]
    lean_of_interpreter = lean_interpreter(javascript)
    cases += [("JavaScript", NO_OP_JAVASCRIPT, n, lean_of_interpreter) for n in numbers(options.javascript_agents)]
    for name, source, agents, lean in cases:
        for line in measure(name, source, agents, lean, numbers(options.workers), options.seconds, options.repeats):
            print(line, flush=True)
    rounds = [of_rounds(options.seconds) for _ in range(options.repeats)]
    for key in rounds[0]:
        times = [found[key] for found in rounds]
        line: dict[str, object] = {"benchmark": "round of two core modules", "workers": 1, "way": key}
        spread = [round(min(times), 3), round(max(times), 3)]
        print(json.dumps(line | {"ms": round(statistics.median(times), 3), "spread": spread}), flush=True)
    for name, source in (("core module", NO_OP_WAT), ("Python", NO_OP_PYTHON), ("JavaScript", NO_OP_JAVASCRIPT)):
        for benchmark, sources in (
            ("warm start to first durable turn", [source] * options.repeats),
            ("edit to first durable turn", [edited(source, n) for n in range(options.repeats)]),
        ):
            if name != "Python" and benchmark.startswith("edit"):
                continue
            times = [warm_start(one) for one in sources]
            line = {"benchmark": benchmark, "agents": name, "workers": 1}
            spread = [round(min(times), 3), round(max(times), 3)]
            print(json.dumps(line | {"seconds": round(statistics.median(times), 3), "spread": spread}), flush=True)


if __name__ == "__main__":
    main()
