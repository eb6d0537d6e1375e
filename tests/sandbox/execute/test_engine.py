"""The engine: every setting is one that the pinned version knows, and all of them are part of the key."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import wasmtime
from wasmtime import _bindings
from wasmtime import component as wc

from turnwise.sandbox.execute import engine
from turnwise.sandbox.execute.engine import SETTINGS, engine_key, make_engine


def test_settings_exist_and_are_named_once() -> None:
    names = [name for name, _ in SETTINGS]
    assert names == sorted({*names})
    in_class = {name for name in names if isinstance(getattr(wasmtime.Config, name, None), property)}
    in_library = {name for name in names if hasattr(_bindings, f"wasmtime_config_{name}_set")}
    assert in_class | in_library == {*names}
    assert {*names} - in_class == {"concurrency_support", "wasm_component_model_async"}


def engine_with(**changes: bool) -> wasmtime.Engine:
    """An engine of one setting less, as a control of what that setting does."""
    with pytest.MonkeyPatch.context() as change:
        change.setattr(engine, "SETTINGS", tuple((dict(SETTINGS) | changes).items()))
        return make_engine()


def bits(made: wasmtime.Engine, result: str) -> int:
    """What a function returns that computes `result` from 0, as an unsigned number."""
    store = wasmtime.Store(made)
    store.set_fuel(1_000)
    code = f"""(module (func (export "f") (param $x i64) (result i64) {result}))"""
    function = wasmtime.Instance(store, wasmtime.Module(made, code), []).exports(store)["f"]
    assert isinstance(function, wasmtime.Func)
    return int(function(store, 0)) & (1 << 64) - 1


CANONICAL_NAN = 0x7FF8_0000_0000_0000
NAN_WITH_PAYLOAD = "(f64.reinterpret_i64 (i64.or (local.get $x) (i64.const 0x7ff8dead0000beef)))"
NANS = {
    "payload": f"(f64.add {NAN_WITH_PAYLOAD} (f64.const 1))",
    "sign": f"(f64.mul (f64.neg {NAN_WITH_PAYLOAD}) (f64.const 2))",
    "made": "(f64.div (f64.convert_i64_s (local.get $x)) (f64.convert_i64_s (local.get $x)))",
    "vector": f"(f64x2.extract_lane 0 (f64x2.mul (f64x2.splat {NAN_WITH_PAYLOAD}) (f64x2.splat (f64.const 3))))",
}


@pytest.mark.parametrize("name", NANS)
def test_a_nan_that_is_computed_has_one_bit_pattern(name: str) -> None:
    result = f"(i64.reinterpret_f64 {NANS[name]})"
    assert bits(make_engine(), result) == CANONICAL_NAN
    loose = bits(engine_with(cranelift_nan_canonicalization=False), result)
    if name != "made" or platform.machine() in ("x86_64", "AMD64"):
        assert loose != CANONICAL_NAN, "the control: without the setting, hardware passes something else on"


X32 = "(i32.wrap_i64 (local.get $x))"
RELAXED = {
    "swizzle beyond the lanes": (
        f"(i8x16.relaxed_swizzle (v128.const i32x4 1 2 3 4) (i8x16.splat (i32.add {X32} (i32.const 0x14))))",
        0,
    ),
    "trunc of no number": (
        "(i32x4.relaxed_trunc_f32x4_s (f32x4.splat (f32.add (f32.const nan) (f32.convert_i64_s (local.get $x)))))",
        0,
    ),
    "product that overflows": (
        f"(i16x8.relaxed_q15mulr_s (i16x8.splat (i32.const -32768)) (i16x8.splat (i32.add {X32} (i32.const -32768))))",
        0x7FFF_7FFF_7FFF_7FFF,
    ),
}


@pytest.mark.parametrize("name", RELAXED)
def test_relaxed_vectors_take_their_deterministic_form(name: str) -> None:
    vector, expected = RELAXED[name]
    result = f"(i64x2.extract_lane 0 {vector})"
    assert bits(make_engine(), result) == expected
    if platform.machine() in ("x86_64", "AMD64"):
        assert bits(engine_with(wasm_relaxed_simd_deterministic=False), result) != expected, "the control"


ASYNCHRONOUS = (
    "(core func (canon waitable-set.new))",
    "(core func (canon task.return))",
    "(core func (canon thread.yield))",
    "(core func (canon backpressure.inc))",
    "(core func (canon subtask.drop))",
    "(type $s (stream u8)) (core func (canon stream.new $s))",
    "(type $f (future u8)) (core func (canon future.new $f))",
)


@pytest.mark.parametrize("part", ASYNCHRONOUS)
def test_a_component_makes_no_tasks_streams_or_waits(part: str) -> None:
    with pytest.raises(wasmtime.WasmtimeError, match="async feature"):
        wc.Component(make_engine(), f"(component {part})")
    loose = engine_with(concurrency_support=True, wasm_component_model_async=True)
    assert wc.Component(loose, f"(component {part})"), "the control: the engine has them if nobody turns them off"


def test_the_key_is_the_same_in_another_process() -> None:
    program = "from turnwise.sandbox.execute.engine import engine_key; print(engine_key())"
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {program}"]
    assert subprocess.check_output(command, text=True).strip() == engine_key()


def test_the_key_follows_settings_version_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {engine_key()}
    changes = {
        "SETTINGS": SETTINGS[:-1],
        "wasmtime_version": lambda: "1.2.3",
        "_cpu_features": lambda: "one less",
    }
    for name, value in changes.items():
        with monkeypatch.context() as change:
            change.setattr(engine, name, value)
            keys.add(engine_key.__wrapped__())
    assert len(keys) == 4


def test_engines_understand_each_others_code() -> None:
    module = wasmtime.Module(make_engine(), "(module)")
    assert wasmtime.Module.deserialize(make_engine(), bytes(module.serialize()))
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Module.deserialize(wasmtime.Engine(), bytes(module.serialize()))
