"""The one slot of the pooling allocator: nothing of a neighbour is found in it, and it is never made in the builder.

The tests of isolation run in every way of executing modules; what they look for must be found in none.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import wasmtime

from turnwise.core.turn import FailureClass
from turnwise.errors import InvariantError
from turnwise.sandbox.build import builder
from turnwise.sandbox.build.messages import CompileReply, CompileRequest
from turnwise.sandbox.execute import modules, pooling
from turnwise.sandbox.execute.execution import Execution, ExecutionOutcome
from turnwise.sandbox.execute.module import ModuleCarrier
from turnwise.sandbox.execute.modules import ModuleLoader
from turnwise.sandbox.execute.pooling import (
    ADDRESS_BYTES,
    INTERPRETER_RESET_BYTES,
    RESET_BYTES,
    SLOTS,
    make_pooling_engine,
)
from turnwise.sandbox.execute.switches import ALL_ON, Switches

MIB = 1024 * 1024
TABLES = 8
ENDINGS = {
    "returns": ("(i64.const 8)", "completed", None),
    "traps": ("unreachable", "failed", FailureClass.TRAP),
    "traps beyond its memory": ("(i64.load (i32.const -8))", "failed", FailureClass.TRAP),
    "loops": ("(loop (br 0)) unreachable", "failed", FailureClass.FUEL),
    "asks": ("(call $effect (i32.const 0) (i32.const 1))", "needs", None),
    "says too much": ("(i64.const 0xFFFFFFFF)", "failed", FailureClass.OUTPUT_SIZE),
}
IMAGE = '(data (i32.const 40000) "{}")'.format("\\5a" * 2_000)
IMPORT = '(import "turnwise" "effect" (func $effect (param i32 i32) (result i64)))'
HEAD = f"""(module
  {IMPORT}
  (memory (export "memory") {{pages}}) {{data}}
  {{tables}}
  (global $a (mut i64) (i64.const 0)) (global $b (mut i32) (i32.const 0)) (global $c (mut f64) (f64.const 0))
  (global $d (mut funcref) (ref.null func)) (global $v (mut v128) (v128.const i64x2 0 0))
  (func $f) (elem declare func $f)
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 8))
"""


def tables(elements: int, filled: bool) -> str:
    text = "".join(f"(table $t{number} {elements} 65536 funcref)\n" for number in range(TABLES))
    if filled:
        text += "".join(f"(elem (table $t{number}) (i32.const 3) func $f)\n" for number in range(TABLES))
    return text


def dirty(ending: str, *, pages: int, grow: int, data: str = "", elements: int = 10, filled: bool = False) -> str:
    """A guest that writes all that it can reach, and ends in its way."""
    fills = "".join(
        f"(drop (table.grow $t{n} (ref.func $f) (i32.const 5000)))"
        f"(table.fill $t{n} (i32.const 0) (ref.func $f) (table.size $t{n}))"
        for n in range(TABLES)
    )
    return HEAD.format(pages=pages, data=data, tables=tables(elements, filled)) + (
        f"""(func (export "turnwise_turn") (param i32 i32) (result i64)
        (drop (memory.grow (i32.const {grow})))
        (memory.fill (i32.const 0) (i32.const 0x2e) (i32.mul (memory.size) (i32.const 65536)))
        {fills}
        (global.set $a (i64.const -1)) (global.set $b (i32.const -1)) (global.set $c (f64.const 7))
        (global.set $d (ref.func $f)) (global.set $v (v128.const i64x2 -1 -1))
        {ENDINGS[ending][0]}))"""
    )


def clean(*, pages: int, grow: int, data: str = "", elements: int = 10, filled: bool = False, spot: str = "") -> str:
    """A guest that counts all that is not as it must be in a new instance: as many bytes of 8, elements and globals."""
    counts = "".join(
        f"""(local.set $i (i32.const 0))
        (loop $next
          (if (i32.ne (ref.is_null (table.get $t{n} (local.get $i)))
                      (i32.ne (local.get $i) (i32.const {3 if filled else -1})))
            (then (local.set $bad (i32.add (local.get $bad) (i32.const 1)))))
          (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (table.size $t{n}))))"""
        for n in range(TABLES)
    )
    image = "(i32.lt_u (i32.sub (local.get $i) (i32.const 40000)) (i32.const 2000))" if data else "(i32.const 0)"
    return HEAD.format(pages=pages, data=data, tables=tables(elements, filled)) + (
        f"""(func (export "turnwise_turn") (param i32 i32) (result i64) (local $i i32) (local $bad i32)
        {spot}
        (drop (memory.grow (i32.const {grow})))
        (loop $next
          (if (i64.ne (i64.load (local.get $i))
                      (select (i64.const 0x5a5a5a5a5a5a5a5a) (i64.const 0) {image}))
            (then (local.set $bad (i32.add (local.get $bad) (i32.const 1)))))
          (local.set $i (i32.add (local.get $i) (i32.const 8)))
          (br_if $next (i32.lt_u (local.get $i) (i32.mul (memory.size) (i32.const 65536)))))
        {counts}
        (if (i64.ne (global.get $a) (i64.const 0)) (then (local.set $bad (i32.add (local.get $bad) (i32.const 1)))))
        (if (global.get $b) (then (local.set $bad (i32.add (local.get $bad) (i32.const 1)))))
        (if (f64.ne (global.get $c) (f64.const 0)) (then (local.set $bad (i32.add (local.get $bad) (i32.const 1)))))
        (if (i32.eqz (ref.is_null (global.get $d))) (then (local.set $bad (i32.add (local.get $bad) (i32.const 1)))))
        (if (v128.any_true (global.get $v)) (then (local.set $bad (i32.add (local.get $bad) (i32.const 1)))))
        (i32.store8 (i32.const 0)
          (select (i32.const 126) (local.get $bad) (i32.gt_u (local.get $bad) (i32.const 126))))
        (i64.const 1)))"""
    )


def run(carrier: Any) -> ExecutionOutcome:
    outcome: ExecutionOutcome = carrier.execute(Execution(b"", (), 40_000_000, 64 * MIB, 1_000))[0]
    return outcome


SHAPES: dict[str, dict[str, Any]] = {
    "one page": {"pages": 1, "grow": 0},
    "an image": {"pages": 1, "grow": 0, "data": IMAGE, "filled": True},
    "17 pages": {"pages": 17, "grow": 0},
    "17 pages with an image": {"pages": 17, "grow": 0, "data": IMAGE, "filled": True},
    "growing by a page": {"pages": 1, "grow": 1, "elements": 65_536},
    "growing by 150 pages": {"pages": 1, "grow": 150, "data": IMAGE},
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_new_instance_finds_nothing_of_the_one_before(carry: Any, ending: str) -> None:
    """Neighbours of every shape before guests of every shape, in the same place."""
    look_behind_neighbours(carry, ending)


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_found_in_the_slot_of_interpreters_either(
    engine: wasmtime.Engine, ending: str, tmp_path: Path
) -> None:
    loader = ModuleLoader(engine, ALL_ON)

    def carry(wat: str) -> Any:
        path = tmp_path / "module"
        path.unlink(missing_ok=True)
        path.write_bytes(wasmtime.Module(engine, wat).serialize())
        return loader.load(str(path), is_interpreter=True)

    look_behind_neighbours(carry, ending)
    assert list(loader._pooling) == [INTERPRETER_RESET_BYTES]
    assert run(carry(clean(pages=1, grow=1, spot="(i32.store8 (i32.const 65535) (i32.const 1))"))).body == b"\x01"


def test_an_interpreter_with_a_large_memory_has_the_slot_of_other_modules(
    engine: wasmtime.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are no scans of what was written to."""
    monkeypatch.setattr(modules, "make_scanning_engine", lambda: None)
    loader = ModuleLoader(engine, ALL_ON)
    for pages, reset_bytes in ((64, INTERPRETER_RESET_BYTES), (65, RESET_BYTES)):
        path = tmp_path / str(pages)
        path.write_bytes(wasmtime.Module(engine, clean(pages=pages, grow=0)).serialize())
        carrier = loader.load(str(path), is_interpreter=True)
        assert carrier._engine is loader._pooling[reset_bytes]  # type: ignore[attr-defined]


def look_behind_neighbours(carry: Any, ending: str) -> None:
    _, status, failure = ENDINGS[ending]
    looking = {name: carry(clean(**shape)) for name, shape in SHAPES.items()}
    for name, shape in SHAPES.items():
        neighbour = carry(dirty(ending, **shape))
        for other, carrier in looking.items():
            outcome = run(neighbour)
            assert (outcome.status, outcome.failure) == (status, failure), (name, outcome.body)
            found = run(carrier)
            assert (found.status, found.body) == ("completed", b"\0"), (name, other)


@pytest.mark.parametrize(
    "spot",
    [
        "(i32.store8 (i32.const 65535) (i32.const 1))",
        "(table.set $t7 (i32.const 9) (ref.func $f))",
        "(global.set $a (i64.const 1))",
        "(global.set $d (ref.func $f))",
        "(global.set $v (v128.const i64x2 0 1))",
    ],
)
def test_the_guest_that_looks_finds_one_spot(carry: Any, spot: str) -> None:
    """The control: it says how many are not as they must be, wherever they lie."""
    assert run(carry(clean(pages=1, grow=1, spot=spot))).body == b"\x01"


def test_there_is_one_slot_and_a_turn_that_was_not_given_up_is_noticed() -> None:
    """So the neighbour was in the same place. What is noticed is a fault of ours, and no outcome of the guest."""
    assert SLOTS == 1
    engine = make_pooling_engine()
    module = wasmtime.Module(engine, clean(pages=1, grow=0).replace(IMPORT, ""))
    for carrier in (ModuleCarrier(engine, module), modules.module_carrier(engine, module, ALL_ON)):
        store = wasmtime.Store(engine)
        store.set_fuel(1_000_000)
        instance = wasmtime.Instance(store, module, [])
        with pytest.raises(InvariantError, match="another"):
            run(carrier)
        store.close()
        del instance
        assert run(carrier).body == b"\0"


TOO_MUCH = {
    "elements": "(table 65537 funcref)",
    "tables": "(table 1 funcref)" * 9,
    "globals": "(global (mut i64) (i64.const 0))" * 70_000,
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_does_not_fit_into_the_slot_is_executed_without_it(run_module: Any, name: str) -> None:
    """In every way with the same outcome: that of the limits of a turn, or none where those have nothing against it."""
    outcome, fuel, _ = run_module("(i64.const 0)", parts=TOO_MUCH[name])
    assert outcome.failure is (None if name == "globals" else FailureClass.MEMORY)
    if name == "elements":
        assert "65537" in outcome.body.decode()
    assert fuel == (0 if outcome.failure else 10)


def test_modules_that_do_not_fit_or_find_no_room_have_the_other_engine(
    engine: wasmtime.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def path_of(name: str, wat: str) -> str:
        path = tmp_path / name
        path.write_bytes(wasmtime.Module(engine, wat).serialize())
        return str(path)

    def engine_of(loader: ModuleLoader, path: str) -> object:
        return loader.load(path)._engine  # type: ignore[attr-defined]

    small = path_of("small", clean(pages=1, grow=0))
    loader = ModuleLoader(engine, ALL_ON)
    assert engine_of(loader, small) is not engine
    assert engine_of(loader, path_of("large", clean(pages=1, grow=0, data="(table 65537 funcref)"))) is engine
    with pytest.raises(wasmtime.WasmtimeError):
        loader.load(str(tmp_path / "absent"))
    globals_ = " ".join(["(global (mut i64) (i64.const 1))"] * 1_000)
    assert engine_of(loader, path_of("many globals", clean(pages=1, grow=0, data=globals_))) is not engine
    with monkeypatch.context() as change:
        change.setattr(modules, "address_space_is_bounded", lambda: True)
        assert engine_of(ModuleLoader(engine, ALL_ON), small) is engine
    with monkeypatch.context() as change:
        change.setattr(pooling, "ADDRESS_BYTES", 1 << 60)
        assert engine_of(ModuleLoader(engine, ALL_ON), small) is engine


@pytest.mark.parametrize(
    ("switches", "bounded", "room", "made"),
    [
        (ALL_ON, False, True, True),
        (ALL_ON, True, True, False),
        (ALL_ON, False, False, False),
        (Switches(pool=False), False, True, False),
        (Switches(c_library=False), False, True, False),
    ],
)
def test_an_engine_that_scans_is_made_once_and_only_where_everything_allows_it(
    engine: wasmtime.Engine,
    monkeypatch: pytest.MonkeyPatch,
    switches: Switches,
    bounded: bool,
    room: bool,
    made: bool,
) -> None:
    scanning = object()
    count = 0

    def make() -> object:
        nonlocal count
        count += 1
        return scanning

    monkeypatch.setattr(modules, "address_space_is_bounded", lambda: bounded)
    monkeypatch.setattr(modules, "has_room", lambda: room)
    monkeypatch.setattr(modules, "make_scanning_engine", make)
    loader = ModuleLoader(engine, switches)
    for _ in range(2):
        assert loader._scanning_engine() is (scanning if made else None)
    assert count == made


MEASURES = """
from turnwise.sandbox.execute.pooling import make_pooling_engine
def now():
    lines = (line.split() for line in open("/proc/self/status"))
    return {line[0]: int(line[1]) for line in lines if line[0] in ("VmSize:", "VmRSS:")}
before = now()
engine = make_pooling_engine()
print(*((size - before[name]) // 1024 for name, size in now().items()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_the_slot_reserves_little_more_than_one_memory_and_takes_no_memory() -> None:
    address_mib, resident_mib = map(int, python(MEASURES).stdout.split())
    assert 4096 <= address_mib < ADDRESS_BYTES // MIB
    assert resident_mib < 8


REFUSES = """
import os, sys
from turnwise.sandbox.execute import modules
def refuse(_):
    os.write(2, b"made a slot")
    os._exit(3)
modules.make_pooling_engine = refuse
"""
BUILDS = f"{REFUSES}sys.argv = ['builder', str(os.getppid())]\nfrom turnwise.sandbox.build.builder import main\nmain()"
LOADS = f"""{REFUSES}
from turnwise.sandbox.execute.executor import Executor
from turnwise.sandbox.execute.switches import ALL_OFF, ALL_ON
Executor(ALL_OFF if sys.argv[2] == "off" else ALL_ON).load(sys.argv[1], "module", None)
"""


def python(program: str, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{program}", *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=False)


WITHIN = """
import resource
from turnwise.sandbox.execute import modules
from turnwise.sandbox.execute.executor import Executor
used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize:"))
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]), -1))
modules.address_space_is_bounded = lambda: False
executor = Executor()
executor.load(sys.argv[1], "module", None)
print(any(executor._modules._pooling.values()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize(("mib", "made"), [(1_000, b"False"), (4_300, b"False"), (4_500, b"True")])
def test_address_space_that_is_refused_ends_nothing(
    engine: wasmtime.Engine, tmp_path: Path, mib: int, made: bytes
) -> None:
    """Also where nobody has seen that it is bounded; the library itself would end the process."""
    path = tmp_path / "module"
    path.write_bytes(wasmtime.Module(engine, clean(pages=1, grow=0)).serialize())
    done = python(WITHIN, str(path), str(mib * MIB))
    assert (done.stdout.strip(), done.returncode) == (made, 0), done.stderr


def test_the_builder_makes_no_slot(engine: wasmtime.Engine, tmp_path: Path) -> None:
    """Its executor has all switches off; the control has them on, and is noticed."""
    wat = clean(pages=1, grow=0)
    done = python(BUILDS, given=msgspec.msgpack.encode(CompileRequest("wat", wat.encode())))
    assert (done.returncode, done.stderr) == (0, b"")
    assert msgspec.msgpack.decode(done.stdout, type=CompileReply).carrier == "module"
    assert Switches(c_library=False, pool=False) == builder.ALL_OFF
    path = tmp_path / "module"
    path.write_bytes(wasmtime.Module(engine, wat).serialize())
    assert python(LOADS, str(path), "off").returncode == 0
    assert python(LOADS, str(path), "on").stderr == b"made a slot"
