"""The C library is the one that is described: what a new version would change is noticed here, and falls back."""

from __future__ import annotations

import ctypes
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import wasmtime
from wasmtime import _bindings

import turnwise
from turnwise.sandbox.execute import c_library
from turnwise.sandbox.execute.c_module import CModuleCarrier
from turnwise.sandbox.execute.execution import Execution
from turnwise.sandbox.execute.module import ModuleCarrier
from turnwise.sandbox.execute.modules import module_carrier
from turnwise.sandbox.execute.switches import ALL_OFF, ALL_ON

PROJECT = Path(turnwise.__path__[0]).parents[1]
CANARY = """(module
  (import "turnwise" "effect" (func $effect (param i32 i32) (result i64)))
  (memory (export "memory") 2) (data (i32.const 70000) "question")
  (global $top (mut i32) (i32.const 80000))
  (func (export "turnwise_alloc") (param i32) (result i32)
    (global.set $top (i32.add (global.get $top) (local.get 0)))
    (i32.sub (global.get $top) (local.get 0)))
  (func (export "turnwise_turn") (param $p i32) (param $n i32) (result i64) (local $reply i64)
    (if (i32.ne (local.get $n) (i32.const 5)) (then unreachable))
    (if (i32.ne (i32.load8_u (local.get $p)) (i32.const 105)) (then unreachable))
    (local.set $reply (call $effect (i32.const 70000) (i32.const 8)))
    (i32.store8 (i32.wrap_i64 (i64.shr_u (local.get $reply) (i64.const 32))) (i32.const 65))
    (local.get $reply)))"""


def test_the_version_is_the_pinned_one() -> None:
    pinned = re.search(r'"wasmtime==([0-9.]+)"', (PROJECT / "pyproject.toml").read_text("utf-8"))
    assert pinned is not None
    assert pinned[1] == version("wasmtime") == c_library.VERSION


def test_structs_are_as_described() -> None:
    assert c_library.described() == c_library.installed()
    assert c_library.is_as_described()


def test_the_bindings_name_the_same_arguments() -> None:
    """Own types are plain numbers of the same width as the pointers and integers of the wheel's bindings."""
    names = [name for name, value in vars(c_library).items() if isinstance(value, ctypes._CFuncPtr)]
    assert len(names) == 13
    for name in names:
        ours = getattr(c_library, name)
        theirs = getattr(_bindings, f"_{ours.__name__}")
        assert len(ours.argtypes) == len(theirs.argtypes), name
        for own, other in zip((*ours.argtypes, ours.restype), (*theirs.argtypes, theirs.restype), strict=True):
            assert width(own) == width(other), name


def width(kind: type | None) -> int:
    return 0 if kind is None else ctypes.sizeof(kind)


def test_a_canary_comes_back(engine: wasmtime.Engine) -> None:
    """Both exports, both directions of text, the host function, the trap of a missing reply, and fuel, to the unit."""
    carrier = CModuleCarrier(engine, wasmtime.Module(engine, CANARY))
    outcome, fuel = carrier.execute(Execution(b"input", (), 1_000, 1 << 20, 100))
    assert (outcome.status, outcome.body) == ("needs", b"question")
    answered, more = carrier.execute(Execution(b"input", (b"answer",), 1_000, 1 << 20, 100))
    assert (answered.status, answered.body, answered.failure) == ("completed", b"Answer", None)
    assert (fuel, more) == (21, 37)


@pytest.mark.parametrize("name", ["VERSION", "INSTANCE_BYTES", "EXTERN_BYTES", "EXTERN_VALUE_OFFSET", "VALUE_BYTES"])
def test_another_library_is_left_to_the_python_interface(
    engine: wasmtime.Engine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module = wasmtime.Module(engine, CANARY)
    assert type(module_carrier(engine, module, ALL_ON)) is CModuleCarrier
    assert type(module_carrier(engine, module, ALL_OFF)) is ModuleCarrier
    monkeypatch.setattr(c_library, name, "50.0.2" if name == "VERSION" else 8_000)
    assert not c_library.is_as_described()
    assert type(module_carrier(engine, module, ALL_ON)) is ModuleCarrier
