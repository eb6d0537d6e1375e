"""The slot in which only what a turn wrote to is written over: isolation, page faults, and what switches it off."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from wasmtime import _bindings

from tests.sandbox.execute.test_pooling import ENDINGS, clean, look_behind_neighbours, run
from turnwise.sandbox.execute import page_scan
from turnwise.sandbox.execute.c_module import CModuleCarrier
from turnwise.sandbox.execute.engine import on_guest_stack
from turnwise.sandbox.execute.execution import Execution
from turnwise.sandbox.execute.page_scan import SCANNED_BYTES
from turnwise.sandbox.execute.pooling import make_pooling_engine, make_scanning_engine

known = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the configuration is known on Linux x86-64 only"
)


@pytest.fixture(scope="module")
def scanning() -> wasmtime.Engine:
    engine = make_scanning_engine()
    if engine is None:
        pytest.skip("this system cannot tell which pages were written to")
    return engine


@pytest.fixture
def carry(scanning: wasmtime.Engine) -> Callable[[str], CModuleCarrier]:
    return lambda wat: CModuleCarrier(scanning, wasmtime.Module(scanning, wat), is_scanned=True)


@known
def test_the_configuration_is_as_it_is_known() -> None:
    """Fails loudly where another version of the library has another layout: then there would be no scans."""
    allocator = _bindings.wasmtime_pooling_allocation_config_new()
    address = ctypes.cast(allocator, ctypes.c_void_p).value
    assert address is not None
    try:
        before = bytearray(ctypes.string_at(address, len(page_scan.DEFAULT)))
        assert page_scan.is_default(bytes(before))
        assert page_scan.switch_on(allocator)
        before[page_scan.SCAN_OFFSET] = page_scan.YES
        assert ctypes.string_at(address, len(before)) == before
        assert not page_scan.switch_on(allocator), "it is not as the library makes it any more"
    finally:
        _bindings.wasmtime_pooling_allocation_config_delete(allocator)


@known
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VERSION", "50.0.2"),
        ("DEFAULT", page_scan.DEFAULT[:132] + bytes(4)),
        ("_can_populate", lambda: False),
        ("is_open", lambda: False),
    ],
)
def test_whatever_is_otherwise_switches_it_off(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    monkeypatch.setattr(page_scan.c_library if name == "VERSION" else page_scan, name, value)
    assert make_scanning_engine() is None


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_new_instance_finds_nothing_of_the_one_before(carry: Any, ending: str) -> None:
    look_behind_neighbours(carry, ending)


def test_the_guest_that_looks_finds_one_spot(carry: Any) -> None:
    assert run(carry(clean(pages=1, grow=1, spot="(i32.store8 (i32.const 65535) (i32.const 1))"))).body == b"\x01"


PAGES = 100
LARGE = f"""(module
  (memory (export "memory") 80)
  (data (i32.const 0) "{"x" * 1_000_000}")
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 64))
  (func (export "turnwise_turn") (param i32 i32) (result i64) (local $i i32) (local $sum i32)
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (i32.load8_u (i32.mul (local.get $i) (i32.const 8192)))))
      (i32.store8 (i32.mul (local.get $i) (i32.const 8192)) (i32.const 0))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {PAGES}))))
    (i32.store8 (i32.const 100) (i32.add (i32.const 33) (i32.rem_u (local.get $sum) (i32.const 90))))
    (i64.const {100 << 32 | 1})))"""
"""A guest that reads a byte of every other page, and writes another there."""


def faults_of(carrier: CModuleCarrier, turns: int) -> tuple[float, set[bytes]]:
    import resource

    def play(count: int) -> set[bytes]:
        return {carrier.execute(Execution(b"{}", (), 1_000_000, 64 << 20, 100))[0].body for _ in range(count)}

    def measure() -> tuple[float, set[bytes]]:
        play(5)
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        bodies = play(turns)
        return (resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before) / turns, bodies

    return on_guest_stack(measure)


def test_turns_cost_no_page_faults(scanning: wasmtime.Engine) -> None:
    """That the scans are made, and find no more than was written to; the control is the slot without them."""
    faults, bodies = faults_of(CModuleCarrier(scanning, wasmtime.Module(scanning, LARGE), is_scanned=True), 50)
    other = make_pooling_engine()
    controls, expected = faults_of(CModuleCarrier(other, wasmtime.Module(other, LARGE)), 50)
    assert bodies == expected
    assert len(bodies) == 1
    assert faults < PAGES / 10 < PAGES / 2 < controls


def test_a_turn_that_writes_to_more_leaves_nothing_and_the_next_ones_are_right(carry: Any) -> None:
    """Beyond its bound memory is given back; the image is there again, and so are zeros."""
    more = LARGE.replace(f"(i32.const {PAGES})", "(i32.const 600)")
    much, little = carry(more), carry(LARGE)
    assert SCANNED_BYTES < 600 * 4096

    def play() -> list[Any]:
        both = [much, little] * 70
        return [carrier.execute(Execution(b"{}", (), 1_000_000, 64 << 20, 100)) for carrier in both]

    found = on_guest_stack(play)
    assert len({(o.status, o.body, fuel) for o, fuel in found[::2]}) == 1
    assert len({(o.status, o.body, fuel) for o, fuel in found[1::2]}) == 1
    assert found[0][0].status == "completed"
