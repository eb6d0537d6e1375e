"""A million turns of core modules in one process: `pytest -m soak -s tests/long/test_many_turns.py`.

Another number: TURNWISE_SOAK_TURNS. Turns of every ending take their turns, on a guest's stack as in a worker.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from tests.sandbox.execute.test_c_module import asks, on_second
from tests.sandbox.execute.test_module import descriptor_count, resident_bytes
from turnwise.sandbox.execute.engine import make_engine, on_guest_stack
from turnwise.sandbox.execute.execution import Execution
from turnwise.sandbox.execute.modules import ModuleLoader
from turnwise.sandbox.execute.switches import ALL_ON

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

MIB = 1024 * 1024
TURNS = int(os.environ.get("TURNWISE_SOAK_TURNS", "1000000"))
STEPS = 10
GUESTS = {
    "completed": (asks("(return (i64.const 0x4000000005))"), ()),
    "asked": (asks(), (b"reply",)),
    "needs": (asks(), ()),
    "trapped": (asks("unreachable"), ()),
    "out of fuel": (asks("(loop (br 0))"), ()),
    "grown": (asks("(drop (memory.grow (i32.const 9))) (i32.store8 (i32.const 600000) (i32.const 1))"), (b"1",)),
    "failed within": (asks(alloc=on_second("unreachable")), (b"1",)),
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_and_descriptors_stay_as_they_are(tmp_path: Path) -> None:
    engine = make_engine()
    loader = ModuleLoader(engine, ALL_ON)
    carriers = []
    for name, (wat, replies) in GUESTS.items():
        path = tmp_path / name.replace(" ", "-")
        path.write_bytes(wasmtime.Module(engine, wat).serialize())
        carriers.append((name, loader.load(str(path)), replies))
    endings: Counter[str] = Counter()

    def play(turns: int) -> None:
        for number in range(turns):
            name, carrier, replies = carriers[number % len(carriers)]
            outcome, _ = carrier.execute(Execution(b"input", replies, 10_000, 16 * MIB, 1_000))
            endings[f"{name}: {outcome.status} {outcome.failure or ''}".strip()] += 1

    def all_turns() -> list[Any]:
        play(TURNS // 100)
        found = []
        for _ in range(STEPS):
            play(TURNS // STEPS)
            found.append((descriptor_count(), resident_bytes()))
        return found

    found = on_guest_stack(all_turns)
    for step, (descriptors, resident) in enumerate(found, 1):
        print(f"{step * TURNS // STEPS:>9,} turns: {descriptors} descriptors, {resident:,} bytes resident")
    for ending, count in sorted(endings.items()):
        print(f"{count:>9,} {ending}")
    assert {descriptors for descriptors, _ in found} == {found[0][0]}
    assert found[-1][1] - found[0][1] < MIB
    assert len(endings) == len(GUESTS)
