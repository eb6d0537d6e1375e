"""The rate at which fuel is used up: measured from what the guests do, whatever beginning costs them."""

from __future__ import annotations

import os

import pytest
import wasmtime

from turnwise.sandbox.execute import fuel_rate
from turnwise.sandbox.execute.fuel_rate import guests, main, measure


def test_the_walk_through_memory_visits_every_line() -> None:
    """By the theorem of Hull and Dobell: a multiplier of 1 modulo 4 and an odd increment have the full period."""
    at = count = 0
    lines = fuel_rate.CHASE_BYTES // fuel_rate.LINE_BYTES
    while True:
        at = (at * 1664525 + 1013904223) % lines
        count += 1
        if at == 0:
            break
    assert count == lines


class Clock:
    """A clock of which each look says the next of some moments: that of a process may stand still for so little."""

    def __init__(self, *moments: int) -> None:
        self._moments = iter(moments)

    def process_time_ns(self) -> int:
        return next(self._moments)


def test_every_guest_uses_up_its_fuel(engine: wasmtime.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for wat in guests().values():
        monkeypatch.setattr(fuel_rate, "time", Clock(7, 5_007))
        assert measure(engine, wat, fuel=10_000, repeats=1) == 0.5


def test_the_slowest_of_several_runs_counts(engine: wasmtime.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuel_rate, "time", Clock(0, 300, 1_000, 1_900, 3_000, 3_100))
    assert measure(engine, guests()["load"], fuel=1_000, repeats=3) == 0.9


def test_another_trap_than_the_end_of_fuel_is_no_rate(engine: wasmtime.Engine) -> None:
    wat = '(module (func (export "begin")) (func (export "run") unreachable))'
    with pytest.raises(wasmtime.Trap):
        measure(engine, wat, fuel=1_000, repeats=1)


def test_the_program_prints_the_slowest_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fuel_rate", str(os.getppid())])
    monkeypatch.setattr(fuel_rate, "die_with_parent", lambda parent: None)
    monkeypatch.setattr(fuel_rate, "measure_all", lambda: {"one": 0.5, "other": 2.5, "third": 1.0})
    main()
    assert capsys.readouterr().out == "2.5\n"
