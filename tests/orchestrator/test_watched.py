"""Whoever watches a run, however they behave, changes nothing of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import turnwise
from turnwise import Agent, Grants, Model, World
from turnwise.journal.journal import Journal
from turnwise.orchestrator.edges import Edges
from turnwise.telemetry.address import Telemetry

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory that can be sealed exists on Linux only")
HAGGLE = Path(__file__).resolve().parents[2] / "examples" / "haggle"
READER = """
import sys
from turnwise.telemetry.address import Telemetry
with Telemetry(sys.argv[1]) as telemetry:
    while True:
        if telemetry.read() is not None:
            print("seen", flush=True)
            break
    while True:
        telemetry.read()
"""


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Head of a run that nobody can watch."""
    path = tmp_path_factory.mktemp("alone") / "a.journal"
    with turnwise.start(HAGGLE, journal=path, telemetry=False) as live:
        live.step()
        assert Journal.announced(path) is None
        with live.result() as run:
            return run.head


def address_of(path: Path) -> str:
    """The address of the telemetry of a run that has begun."""
    found = Journal.announced(path)
    assert found is not None
    return found


def reader(path: Path) -> subprocess.Popen[str]:
    """A process that reads the telemetry of a run without a pause, and has seen a sample."""
    arguments = [sys.executable, "-c", READER, address_of(path)]
    found = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert found.stdout is not None
    assert found.stdout.readline() == "seen\n"
    return found


@pytest.fixture
def live(tmp_path: Path) -> Iterator[turnwise.Live]:
    with turnwise.start(HAGGLE, journal=tmp_path / "a.journal") as found:
        found.step()
        yield found


def test_a_run_that_is_read_without_a_pause_has_the_same_head(live: turnwise.Live, head: str) -> None:
    watching = reader(live.journal)
    try:
        with live.result() as run:
            assert run.head == head
        assert watching.poll() is None
    finally:
        watching.kill()
        watching.wait()


def test_a_run_whose_reader_is_killed_has_the_same_head(live: turnwise.Live, head: str) -> None:
    watching = reader(live.journal)
    watching.kill()
    watching.wait()
    with live.result() as run:
        assert run.head == head


def test_a_run_whose_reader_is_stopped_has_the_same_head(live: turnwise.Live, head: str) -> None:
    watching = reader(live.journal)
    try:
        os.kill(watching.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, watching.pid, os.WSTOPPED | os.WNOWAIT)
        with live.result() as run:
            assert run.head == head
        assert os.waitid(os.P_PID, watching.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    finally:
        watching.kill()
        watching.wait()


def test_a_run_that_is_attached_to_and_detached_from_a_hundred_times_has_the_same_head(
    live: turnwise.Live, head: str
) -> None:
    address = address_of(live.journal)
    live.play()
    for _ in range(100):
        with Telemetry(address) as telemetry:
            telemetry.read()
    with live.result() as run:
        assert run.head == head


WRITES = """
def turn(t):
    t.generate("writer", f"{t.self_name} {t.turn}", regex="[a-z]{300,}", tokens_max=300)
    t.wake_in(1)
"""


def test_texts_are_told_while_they_are_generated_with_who_waits_for_them(tmp_path: Path) -> None:
    writer = Agent(WRITES, count=2, start=True, grants=Grants(generate=["writer"]))
    world = World(name="writing", rounds_max=1_000, models={"writer": Model("builtin:demo")}, agents={"a": writer})
    seen = set()
    with turnwise.start(world, journal=tmp_path / "a.journal", workers=1) as live:
        live.step()
        steps = 0
        with Telemetry(address_of(live.journal)) as telemetry:
            live.play()
            while not (seen and steps) and not live.wait(0.01):
                sample = telemetry.read()
                assert sample is not None
                steps = max(steps, sample.state.steps)
                assert sample.state.step_rows >= sample.state.steps
                for text in sample.texts:
                    assert text.place in sample.state.asking or sample.state.asking_count > len(sample.state.asking)
                    seen.add((sample.state.round, text.place, text.effect, text.tail, text.cut))
        live.stop()
        live.wait()
    assert seen
    assert steps > 0
    with Journal.open(live.journal) as journal:
        for number, place, effect, tail, cut in seen:
            record = next(turn for turn in journal.rounds.round(number).turns if turn.place == place)
            text = json.loads(record.effects[effect].reply)["ok"]["text"]
            assert tail in text if cut else text.startswith(tail)


def test_what_was_announced_is_gone_when_the_run_is(live: turnwise.Live) -> None:
    address = address_of(live.journal)
    live.result().close()
    assert Journal.announced(live.journal) is None
    with pytest.raises(OSError):  # noqa: PT011 - what is there now may be anything
        Telemetry(address)


def test_a_system_without_such_memory_plays_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def lacking(*_: object) -> int:
        raise OSError("Function not implemented")

    monkeypatch.setattr(os, "memfd_create", lacking)
    assert Edges().telemetry() is None
