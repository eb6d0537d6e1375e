from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from turnwise.errors import RunClosed
from turnwise.orchestrator import loop_thread
from turnwise.orchestrator.loop_thread import LoopThread, run_alone


async def name() -> str:
    return threading.current_thread().name


async def fail() -> None:
    raise ZeroDivisionError


async def last(told: list[str]) -> None:
    told.append("last")


class Waiting:
    """A coroutine that waits for ever, and says when it began and when it was cancelled."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.told: list[str] = []

    async def __call__(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.told.append("cancelled")


def test_coroutines_run_in_the_thread_and_their_errors_come_out() -> None:
    with LoopThread("mine") as thread:
        assert thread.submit(name()).result() == "mine"
        with pytest.raises(ZeroDivisionError):
            thread.submit(fail()).result()


def test_closing_cancels_what_runs_then_runs_the_last_and_ends_the_thread() -> None:
    waiting = Waiting()
    thread = LoopThread()
    future = thread.submit(waiting())
    assert waiting.began.wait(60)
    thread.close(last(waiting.told))
    assert waiting.told == ["cancelled", "last"]
    with pytest.raises(RunClosed):
        future.result()
    with pytest.raises(RunClosed):
        thread.submit(name())
    thread.close(last(waiting.told))
    assert waiting.told == ["cancelled", "last"]


def test_what_was_only_just_submitted_is_cancelled_too() -> None:
    waiting = Waiting()
    with LoopThread() as thread:
        future = thread.submit(waiting())
        thread.cancel_all()
        with pytest.raises(RunClosed):
            future.result(60)
        assert thread.submit(name()).result() == "turnwise"


def test_several_may_close_at_the_same_time() -> None:
    thread = LoopThread()
    told: list[str] = []
    with ThreadPoolExecutor(4) as others:
        for closing in [others.submit(thread.close, last(told)) for _ in range(8)]:
            closing.result()
    assert told == ["last"]


def test_a_last_that_fails_ends_the_thread_and_is_raised() -> None:
    thread = LoopThread()
    with pytest.raises(ZeroDivisionError):
        thread.close(fail())
    with pytest.raises(RunClosed):
        thread.submit(name())


def test_run_alone_works_with_and_without_a_loop_in_the_calling_thread() -> None:
    async def inside() -> str:
        return run_alone(name())

    assert run_alone(name()) == "turnwise"
    assert asyncio.run(inside()) == "turnwise"


class Interrupted(LoopThread):
    """A thread whose caller is interrupted, as by Ctrl-C, once its coroutine waits."""

    waiting: Waiting

    def submit(self, coroutine: Any) -> Any:
        super().submit(coroutine)
        assert self.waiting.began.wait(60)
        raise KeyboardInterrupt


def test_an_interruption_of_who_waits_cancels_the_coroutine_first(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Interrupted.waiting = Waiting()
    monkeypatch.setattr(loop_thread, "LoopThread", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_alone(waiting())
    assert waiting.told == ["cancelled"]


def test_what_is_cancelled_before_it_begins_is_closed_and_says_so() -> None:
    waiting, gate = Waiting(), threading.Event()
    coroutine = waiting()
    with LoopThread() as thread:
        thread._loop.call_soon_threadsafe(gate.wait, 60)
        future = thread.submit(coroutine)
        thread.cancel_all()
        gate.set()
        with pytest.raises(RunClosed):
            future.result()
        assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    assert not waiting.began.is_set()
