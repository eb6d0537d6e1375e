"""What an execution keeps of a guest."""

from __future__ import annotations

import pytest

from turnwise.core.turn import FailureClass
from turnwise.sandbox.execute.execution import MESSAGE_BYTES_MAX, Ended, Execution, ExecutionOutcome, failed
from turnwise.sandbox.execute.jobs import STDOUT_BYTES_MAX


def execution(fuel: int = 1_000) -> Execution:
    return Execution(b"{}", (b"first", b"second"), fuel, 1024, 1024)


def test_effects_are_answered_in_order_and_then_end_the_execution() -> None:
    running = execution()
    assert [running.effect(b"a"), running.effect(b"b")] == [b"first", b"second"]
    with pytest.raises(Ended):
        running.effect(b"c")
    assert running.outcome == ExecutionOutcome("needs", b"c")


def test_the_first_reason_stands() -> None:
    running = execution()
    running.fail(FailureClass.FORBIDDEN, "first")
    running.fail(FailureClass.TRAP, "second")
    assert running.outcome == ExecutionOutcome("failed", b"first", FailureClass.FORBIDDEN)


def test_host_calls_are_charged_within_the_same_fuel() -> None:
    running = execution(fuel=100)
    running.charge(60)
    done = ExecutionOutcome("completed", b"{}")
    assert running.settle(done, 40) == (done, 100)
    outcome, used = running.settle(done, 41)
    assert (outcome.failure, used) == (FailureClass.FUEL, 100)
    with pytest.raises(Ended):
        running.charge(41)


@pytest.mark.parametrize("text", [b"", b"plain\n", "€".encode() * 10, b"\xff\xfe", b"a" * STDOUT_BYTES_MAX])
def test_what_fits_is_kept_as_it_is(text: bytes) -> None:
    running = execution()
    for index in range(0, len(text), 7):
        running.print(text[index : index + 7])
    assert running.stdout() == text.decode("utf-8", "replace")


@pytest.mark.parametrize("unit", [b"x", "€".encode(), "😀".encode(), b"\xff"])
def test_what_does_not_fit_is_counted(unit: bytes) -> None:
    running = execution()
    for _ in range(30_000):
        running.print(unit * 10)
    text = running.stdout()
    assert len(text.encode()) <= STDOUT_BYTES_MAX
    assert f"… {len(unit) * 300_000 - STDOUT_BYTES_MAX} bytes more were printed" in text


def test_messages_of_failures_are_bounded() -> None:
    assert MESSAGE_BYTES_MAX == 16_384, "messages are in the journal, and its head covers them"
    assert len(failed(FailureClass.TRAP, "x" * 1_000_000).body) == MESSAGE_BYTES_MAX
    assert failed(FailureClass.TRAP, "\ud800").body == b"?"
