"""Lack of memory of the host: never an outcome of a turn, whatever is bounded and however tightly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import wasmtime

import turnwise
from turnwise.core.turn import FailureClass
from turnwise.sandbox.execute import headroom
from turnwise.sandbox.execute.engine import make_engine
from turnwise.sandbox.execute.execution import Execution
from turnwise.sandbox.execute.headroom import (
    Headroom,
    LackOfMemory,
    memory_is_bounded,
    memory_is_bounded_from_outside,
)
from turnwise.sandbox.execute.traps import outcome_of_error

SOURCES = str(Path(turnwise.__path__[0]).parent)
limited = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
MIB = 1024 * 1024

GROWS = """(module (memory (export "memory") 1)
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "turnwise_turn") (param i32 i32) (result i64) (local $pages i32)
    ;; grows until it gets no more, and says how many pages it got, in three digits
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (local.set $pages (memory.size))
    (i32.store8 (i32.const 16) (i32.add (i32.const 48) (i32.div_u (local.get $pages) (i32.const 1000))))
    (i32.store8 (i32.const 17)
      (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get $pages) (i32.const 100)) (i32.const 10))))
    (i32.store8 (i32.const 18)
      (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get $pages) (i32.const 10)) (i32.const 10))))
    (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 3))))"""
"""With 64 MiB it gets 1,024 pages, and says 102."""

UNDER_A_LIMIT = """
import json, resource, sys
from turnwise.sandbox.execute import headroom
from turnwise.sandbox.execute.executor import Executor
from turnwise.sandbox.execute.headroom import LackOfMemory
from turnwise.sandbox.execute.switches import Switches
path, carrier, which, unchecked = sys.argv[1:5]
limits = [int(text) for text in sys.argv[5:]]
name = {"as": "VmSize:", "data": "VmData:"}[which]
number = {"as": resource.RLIMIT_AS, "data": resource.RLIMIT_DATA}[which]
hard = resource.getrlimit(number)[1]
envelope = b'{"abi":1,"seed":"5eed","now_us":0,"prepare":{"entry":"a.py","files":{"a.py":"x = 1"}}}'
executor = Executor(Switches(pool=unchecked != "unchecked"))
executor.load(path, carrier, None)
found = []
def run():
    result = executor.execute(0, 0, envelope, (), 10**9, 64 << 20, 1 << 20)
    return [result.status, result.failure, result.body.decode()]
free = run()
for limit in limits:
    used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) * 1024
    resource.setrlimit(number, (used + limit, hard))
    executor._headroom = headroom.Headroom()
    if unchecked == "unchecked":
        executor._headroom.bounded = False
    try:
        found.append(run())
    except (LackOfMemory, MemoryError):
        found.append("lacks")
    resource.setrlimit(number, (hard, hard))
print(json.dumps([free, found]))
"""

ADDRESSES = [0, MIB, 16 * MIB, 100 * MIB, 1024 * MIB, 4096 * MIB, 4300 * MIB, 5000 * MIB, 9000 * MIB]
DATA = [128 * 1024, MIB, 4 * MIB, 20 * MIB, 40 * MIB, 64 * MIB, 100 * MIB, 200 * MIB, 1024 * MIB]


def under_limits(path: Path, carrier: str, which: str, checked: str = "checked") -> tuple[Any, list[Any]]:
    limits = [str(limit) for limit in {"as": ADDRESSES, "data": DATA}[which]]
    command = [sys.executable, "-c", UNDER_A_LIMIT, str(path), carrier, which, checked, *limits]
    environment = os.environ | {"PYTHONPATH": SOURCES}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    free, found = json.loads(done.stdout)
    return free, found


@pytest.fixture(scope="module")
def grows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grows") / "grows.bin"
    path.write_bytes(wasmtime.Module(make_engine(), GROWS).serialize())
    return path


@limited
@pytest.mark.parametrize("which", ["as", "data"])
def test_a_limit_of_memory_is_lack_of_memory_or_changes_nothing(grows: Path, which: str) -> None:
    free, found = under_limits(grows, "module", which)
    assert free == ["completed", None, "102"]
    assert [one for one in found if one not in ("lacks", free)] == []
    assert found[0] == "lacks"
    assert found[-1] == free


@limited
def test_the_control_decides_something_else_where_memory_is_not_checked(grows: Path) -> None:
    """Without the check a guest that grows in vain says so, and that would be committed.

    Without the slot of core modules, too: there it would grow into what the turn before has had already.
    """
    free, found = under_limits(grows, "module", "data", "unchecked")
    assert [one for one in found if one not in ("lacks", free)] != []


@limited
@pytest.mark.parametrize("which", ["as", "data"])
def test_the_interpreter_of_python_agents_is_no_exception(tmp_path: Path, which: str) -> None:
    path = compiled_interpreter()
    free, found = under_limits(path, "module", which)
    assert free[0] == "completed"
    assert [one for one in found if one not in ("lacks", free)] == []
    assert (found[0], found[-1]) == ("lacks", free)


def compiled_interpreter() -> Path:
    import asyncio

    from turnwise.sandbox.build.artefacts import Artefacts
    from turnwise.sandbox.build.cache import Cache
    from turnwise.sandbox.build.programs import load_interpreter
    from turnwise.sandbox.execute.engine import engine_key

    return asyncio.run(load_interpreter(Artefacts(Cache(engine_key()), lambda _: None))).artefact.path


def test_room_is_checked_only_where_something_bounds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    room = Headroom()
    room.bounded = False
    room.check(1 << 60)
    room.bounded = True
    room.check(MIB)
    with pytest.raises(LackOfMemory, match="refused"):
        room.check(1 << 60)


@limited
def test_a_system_that_promises_only_what_it_has_bounds_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    said = tmp_path / "overcommit"
    monkeypatch.setattr(headroom, "OVERCOMMIT", said)
    assert not memory_is_bounded()
    for text, bounded in (("0\n", False), ("1\n", False), ("2\n", True)):
        said.write_text(text)
        assert memory_is_bounded() is bounded


@limited
@pytest.mark.parametrize(
    ("address", "data", "overcommit", "outside"),
    [
        (1_000, None, "0", False),
        ((1_000, 2_000), None, "0", False),
        (2_000, None, "0", True),
        (None, None, "0", True),
        (1_000, 1_000, "0", True),
        (1_000, None, "2", True),
    ],
)
def test_a_process_tells_its_own_bound_from_those_of_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: Any, data: int | None, overcommit: str, outside: bool
) -> None:
    import resource

    infinity = resource.RLIM_INFINITY
    wanted = {resource.RLIMIT_AS: address, resource.RLIMIT_DATA: data}

    def limit(name: int) -> tuple[int, int]:
        value = wanted[name]
        return value if isinstance(value, tuple) else (infinity if value is None else value, infinity)

    monkeypatch.setattr(resource, "getrlimit", limit)
    said = tmp_path / "overcommit"
    said.write_text(overcommit)
    monkeypatch.setattr(headroom, "OVERCOMMIT", said)
    assert memory_is_bounded_from_outside(1_000) is outside


@pytest.mark.parametrize(
    "cause",
    ["Cannot allocate memory (os error 12)", "The paging file is too small (os error 1455)", "out of memory"],
)
def test_an_error_of_the_system_is_no_outcome(cause: str) -> None:
    with pytest.raises(LackOfMemory, match="mmap failed"):
        outcome_of_error(
            wasmtime.WasmtimeError(f"mmap failed to reserve 0x104000000 bytes\n\nCaused by:\n    {cause}"), 5
        )


def test_a_guest_cannot_pretend_that_the_machine_lacks_memory() -> None:
    """What a guest names its functions comes before the engine's own last line."""
    text = "wasm backtrace:\n  0: 0x1 - main!x\n\nCaused by:\n    Cannot allocate memory (os error 12)\n"
    outcome = outcome_of_error(wasmtime.WasmtimeError(text + "\n\nCaused by:\n    wasm trap: unreachable"), 5)
    assert outcome.failure is FailureClass.TRAP


def test_lack_of_memory_inside_a_host_function_is_no_outcome(
    run_component: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(self: Execution, request: bytes) -> bytes:
        raise MemoryError

    monkeypatch.setattr(Execution, "effect", lacking)
    with pytest.raises(LackOfMemory):
        run_component("(call $effect (local.get $p) (local.get $n) (i32.const 32)) (i32.const 32)")


def test_lack_of_memory_inside_a_host_function_of_a_module_is_no_outcome(
    run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(self: Execution, request: bytes) -> bytes:
        raise MemoryError

    monkeypatch.setattr(Execution, "effect", lacking)
    with pytest.raises(MemoryError):
        run_module("(call $effect (local.get $p) (local.get $n))")
