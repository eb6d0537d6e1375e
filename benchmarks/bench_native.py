"""A turn of a core module as one native function, beside the carrier in Python: what a native step would bring.

    python benchmarks/bench_native.py [--seconds 1] [--repeats 7]

Compiles the prototype in `benchmarks/native/turn.c` with `cc`; it is no part of the package. Each line is one JSON
object, microseconds of processor time of a turn, the median of measurements that alternate, with the least and the
greatest: by the carrier that workers use, by a native call for each turn, and by one native call for 128 turns. Output
and fuel of all ways are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import wasmtime
from bench_turns import FUEL, MEMORY_BYTES, NO_OP_WAT, OUTPUT, envelope

from turnwise.sandbox.build.code import Code, Source, prepare
from turnwise.sandbox.execute import c_library as c
from turnwise.sandbox.execute.executor import Executor
from turnwise.sandbox.execute.pooling import RESET_BYTES, make_pooling_engine

PROTOTYPE = Path(__file__).parent / "native" / "turn.c"
BATCH = 128
ROOM_BYTES = 4096

FUNCTIONS = (
    "store_new",
    "store_context",
    "store_limiter",
    "store_delete",
    "context_set_fuel",
    "context_get_fuel",
    "instance_pre_instantiate",
    "instance_export_get",
    "func_call_unchecked",
    "memory_data",
    "memory_data_size",
)


class Job(ctypes.Structure):
    _fields_ = (
        ("input", ctypes.c_char_p),
        ("input_length", ctypes.c_uint64),
        ("fuel", ctypes.c_uint64),
        ("memory_bytes", ctypes.c_int64),
        ("output", ctypes.c_void_p),
        ("output_length", ctypes.c_uint64),
        ("fuel_used", ctypes.c_uint64),
    )


def compiled(folder: Path) -> ctypes.CDLL:
    """The prototype as a library."""
    target = folder / "turn.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(target), str(PROTOTYPE)], check=True)
    return ctypes.CDLL(str(target))


class Native:
    """The prototype with everything that it is called with."""

    def __init__(self, library: ctypes.CDLL, code: Code, input_: bytes) -> None:
        self._engine = make_pooling_engine(RESET_BYTES)
        linker = wasmtime.Linker(self._engine)
        kind = wasmtime.FuncType([wasmtime.ValType.i32()] * 2, [wasmtime.ValType.i64()])
        linker.define_func("turnwise", "effect", kind, lambda *_: 0)
        self._pre = linker.instantiate_pre(wasmtime.Module.deserialize_file(self._engine, str(code.path)))
        self._addresses = [ctypes.addressof(one.ptr().contents) for one in (self._engine, self._pre)]
        self._functions = (ctypes.c_void_p * len(FUNCTIONS))(
            *[ctypes.cast(getattr(c.FREE, f"wasmtime_{name}"), ctypes.c_void_p).value for name in FUNCTIONS]
        )
        self._turn, self._turns = library.turn, library.turns
        for function in (self._turn, self._turns):
            function.argtypes = [ctypes.c_void_p] * 4
        self._turns.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_int]
        self._room = ctypes.create_string_buffer(ROOM_BYTES)
        self._jobs = (Job * BATCH)(*[self._job(input_) for _ in range(BATCH)])

    def _job(self, input_: bytes) -> Job:
        return Job(input_, len(input_), FUEL, MEMORY_BYTES, ctypes.addressof(self._room), ROOM_BYTES, 0)

    def one(self) -> tuple[bytes, int]:
        """One turn: its output and fuel."""
        job = self._jobs[0]
        job.output_length = ROOM_BYTES
        assert not self._turn(self._functions, *self._addresses, self._jobs)
        return self._room.raw[: job.output_length], job.fuel_used

    def batch(self) -> None:
        """128 turns."""
        for job in self._jobs:
            job.output_length = ROOM_BYTES
        assert self._turns(self._functions, *self._addresses, self._jobs, BATCH) == BATCH


def of_processor(call: Callable[[], object], turns: int, seconds: float) -> float:
    """Microseconds of processor time of a turn, of which each call makes some."""
    call()
    count = 0
    start = time.process_time()
    while (elapsed := time.process_time() - start) < seconds:
        for _ in range(max(1, 100 // turns)):
            call()
            count += turns
    return elapsed / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    (code,) = asyncio.run(prepare([Source("bench", "wat", {"noop.wat": NO_OP_WAT.encode()}, "noop.wat")]))
    input_ = json.dumps(envelope("")).encode()
    executor = Executor()
    executor.load(str(code.path), code.carrier, None)

    def carrier() -> tuple[bytes, int]:
        result = executor.execute(1, 0, input_, (), FUEL, MEMORY_BYTES, ROOM_BYTES)
        return result.body, result.fuel

    with tempfile.TemporaryDirectory() as folder:
        native = Native(compiled(Path(folder)), code, input_)
        assert carrier() == native.one()
        assert native.one()[0] == OUTPUT
        ways: dict[str, tuple[Callable[[], object], int]] = {
            "carrier": (carrier, 1),
            "native, a call for each turn": (native.one, 1),
            "native, a call for 128 turns": (native.batch, BATCH),
        }
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(options.repeats):
            for way, (call, turns) in ways.items():
                found[way].append(of_processor(call, turns, options.seconds))
    for way, times in found.items():
        line = {
            "benchmark": "native",
            "way": way,
            "cpu_us": round(statistics.median(times), 2),
            "spread": [round(min(times), 2), round(max(times), 2)],
            "share_of_carrier": round(statistics.median(times) / statistics.median(found["carrier"]), 2),
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main()
