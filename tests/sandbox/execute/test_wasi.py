"""Virtual time of one execution: waiting moves it on, never back."""

from __future__ import annotations

import pytest

from tests.sandbox.conftest import DEFAULTS
from turnwise.core.turn import FailureClass
from turnwise.sandbox.execute.execution import HOST_BYTE_FUEL, Ended, Execution
from turnwise.sandbox.execute.wasi import HOST_FUNCTIONS, READ_NS, Wasi


@pytest.fixture
def wasi() -> Wasi:
    return Wasi(Execution(**(DEFAULTS | {"input": b'{"now_us":1000}'})))


def test_waiting_ends_when_the_first_is_due(wasi: Wasi) -> None:
    later, sooner = wasi.add_pollable(5_000_000), wasi.add_pollable(2_000_000)
    assert wasi.wait([later, sooner]) == [1]
    assert wasi.read_clock() == 2_000_000
    assert wasi.wait([later, sooner]) == [1]
    assert wasi.wait([later]) == [0]
    assert wasi.read_clock() == 5_000_000


def test_waiting_for_what_was_due_before_does_not_turn_the_clock_back(wasi: Wasi) -> None:
    due = wasi.add_pollable(7)
    assert wasi.wait([due]) == [0]
    assert wasi.read_clock() == 1_000_000
    assert wasi.wait([due]) == [0]
    assert wasi.read_clock() == 1_000_000 + READ_NS


def test_waiting_for_nothing_is_over_at_once(wasi: Wasi) -> None:
    assert wasi.wait([]) == []
    assert wasi.read_clock() == 1_000_000


def test_a_pollable_that_was_given_back_is_none(wasi: Wasi) -> None:
    one, other = wasi.add_pollable(1), wasi.add_pollable(1)
    wasi.drop("error", one)
    assert wasi.ready(one)
    wasi.drop("pollable", one)
    for wait in (lambda: wasi.wait([other, one]), lambda: wasi.ready(one)):
        with pytest.raises(Ended):
            wait()
    assert wasi.execution.outcome is not None
    assert wasi.execution.outcome.failure is FailureClass.TRAP


@pytest.mark.parametrize(("told", "first"), [(0, 0), (-5, 0), (3, 3_000)])
def test_time_begins_where_the_envelope_says_and_never_before_1970(told: int, first: int) -> None:
    wasi = Wasi(Execution(**(DEFAULTS | {"input": b'{"now_us":%d}' % told})))
    assert wasi.read_clock() == first


@pytest.mark.parametrize("length", [0, 1, 1_000])
def test_each_random_byte_costs_fuel(wasi: Wasi, length: int) -> None:
    found = HOST_FUNCTIONS["wasi:random/random.get-random-bytes"].answer(wasi, length)
    assert len(found) == length
    assert wasi.execution.host_fuel == HOST_BYTE_FUEL * length
