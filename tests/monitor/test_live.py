"""The page is told what the process that plays a run tells, as long as it does, and why there is nothing else."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.monitor.conftest import Monitor
from tests.orchestrator.worlds import lively
from turnwise.journal.file.lock import WriterLock, lock_path
from turnwise.journal.journal import Journal
from turnwise.monitor.live import PlaceNames, told
from turnwise.observing.live_feed import AWAY, NOBODY, OTHER, SILENT, STILL_LOOKS, LiveFeed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory that can be sealed exists on Linux only")
HAGGLE = Path(__file__).resolve().parents[2] / "examples" / "haggle"


def stream(monitor: Monitor, run: str) -> Iterator[Any]:
    """What is told, as it comes."""
    asked = http.client.HTTPConnection("127.0.0.1", monitor.port, timeout=60)
    asked.request("GET", f"/api/live?run={run}", headers={"Cookie": f"turnwise-monitor-{monitor.port}={monitor.token}"})
    answer = asked.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    try:
        while True:
            line = answer.readline()
            assert line
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))
    finally:
        asked.close()


def test_texts_and_who_moves_are_told_until_the_run_is_over(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path)
    try:
        with turnwise.start(HAGGLE, journal=tmp_path / "a.journal") as live:
            live.step()
            heard = stream(monitor, "a.journal")
            first = next(found for found in heard if found.get("round") == 1)  # the newest may be older than the step
            assert first["workers_count"] == len(first["workers"])
            live.play()
            seen = [found for found in until_none(heard) if "round" in found]
            rounds = [found["round"] for found in seen]
            assert rounds == sorted(rounds)
            assert {name for found in seen for name in (*found["executing"], *found["asking"])} <= names(live.journal)
            live.result().close()
    finally:
        monitor.close()


def until_none(heard: Iterator[Any]) -> Iterator[Any]:
    """What is told until the run has come to its end."""
    for found in heard:
        if found.get("phase") == "ended":
            return
        yield found


def names(path: Path) -> set[str]:
    """Names of the agents of a run."""
    with Journal.open(path) as journal:
        return set(journal.grid.names())


def test_why_there_is_nothing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with turnwise.start(lively(seed=3, rounds_max=3), journal=path, telemetry=False) as live:
        live.step()
        feed = LiveFeed(path)
        assert feed.look() is None
        assert feed.why == SILENT
        live.result().close()
    assert feed.look() is None
    assert feed.why == NOBODY
    lock_path(path).write_text(f"{os.getpid()}\n/proc/{os.getpid()}/fd/0")
    assert feed.look() is None
    assert feed.why == AWAY
    lock_path(path).write_bytes(bytes(range(256)) * 100)
    assert feed.look() is None


def test_telemetry_of_another_version_is_said_to_be_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.journal"
    monkeypatch.setattr("turnwise.telemetry.ring.MAGIC", b"turnwise telemetry 9")
    with turnwise.start(lively(seed=3, rounds_max=3), journal=path) as live:
        live.step()
        monkeypatch.undo()
        feed = LiveFeed(path)
        assert feed.look() is None
        assert feed.why == OTHER
        feed.close()


def test_the_memory_is_looked_for_again_when_nothing_new_comes(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with turnwise.start(lively(seed=3, rounds_max=3), journal=path) as live:
        live.step()
        feed = LiveFeed(path)
        first = feed.look()
        assert first is not None
        opened = feed._telemetry
        for _ in range(STILL_LOOKS * 1_000):
            feed.look()
            if feed._telemetry is not opened:
                break
        assert feed._telemetry is not opened
        later = feed.look()
        assert later is not None
        assert later.state.sample >= first.state.sample
        feed.close()


def test_agents_that_the_journal_does_not_know_yet_are_named_by_their_place(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with turnwise.start(lively(seed=3, rounds_max=3), journal=path) as live:
        live.step()
        feed, known = LiveFeed(path), PlaceNames()
        sample = next(found for found in iter(feed.look, None) if found.state.round == 1)  # the newest may be older
        assert known(0) == "agent 0"
        known.take(["one"])
        assert known(0) == "one"
        assert known(1) == "agent 1"
        assert told(sample, known)["round"] == 1
        feed.close()


def test_a_lock_says_process_and_address_and_nothing_of_a_killed_one_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    lock = WriterLock(path)
    assert Journal.announced(path) is None
    lock.announce("/proc/1/fd/3")
    assert lock_path(path).read_text() == f"{os.getpid()}\n/proc/1/fd/3"
    assert Journal.announced(path) == "/proc/1/fd/3"
    with pytest.raises(turnwise.JournalError, match=f"process {os.getpid()}"):
        WriterLock(path)
    lock.close()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    lock_path(path).write_text(f"{gone.stdout.strip()}\n/proc/{gone.stdout.strip()}/fd/3")
    assert not Journal.is_written(path)
    feed = LiveFeed(path)
    assert feed.look() is None
    assert feed.why == AWAY
