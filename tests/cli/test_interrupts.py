"""Ctrl-C is counted; the third gives up waiting."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from turnwise.cli.interrupts import Interrupts, exit_code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_counted_until_the_third(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert interrupts.count == 2
        assert interrupts.code == 128 + number
        with pytest.raises(KeyboardInterrupt) as raised:
            os.kill(os.getpid(), number)
        assert exit_code(raised.value) == 128 + number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("first", "second"), [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)], ids=["int", "term"]
)
def test_the_first_signal_decides_the_exit_code(first: signal.Signals, second: signal.Signals) -> None:
    with Interrupts() as interrupts:
        assert interrupts.code == 130
        for number in (first, second):
            os.kill(os.getpid(), number)
        assert interrupts.code == 128 + first
        with pytest.raises(KeyboardInterrupt) as raised:
            os.kill(os.getpid(), second)
        assert exit_code(raised.value) == 128 + first


def test_another_thread_leaves_signals_alone() -> None:
    found: list[object] = []

    def enter() -> None:
        with Interrupts():
            found.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [before]
