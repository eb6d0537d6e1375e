"""A run whose watchers behave as badly as they can: `pytest -m soak tests/long/test_monitor_is_not_felt.py`.

A reader of its telemetry that is stopped for TURNWISE_STOPPED_SECONDS (60 unless given) while the run goes on, a
monitor that is, and one whose page is asked without a pause by many. The run goes on meanwhile, and has the head that
it has alone.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import turnwise
from tests.orchestrator.test_watched import reader
from tests.orchestrator.worlds import lively

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux", reason="memory that can be sealed exists on Linux only"),
]
STOPPED_SECONDS = float(os.environ.get("TURNWISE_STOPPED_SECONDS", "60"))
ASKERS = 8


@contextmanager
def monitor(journal: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A monitor as a process of its own, and its address."""
    arguments = [sys.executable, "-m", "turnwise", "monitor", str(journal)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def stopped_reader(journal: Path) -> Iterator[None]:
    """A reader of the telemetry that is stopped."""
    process = reader(journal)
    try:
        os.kill(process.pid, signal.SIGSTOP)
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def stopped_monitor(journal: Path) -> Iterator[None]:
    """A monitor that is stopped while two streams of its are open."""
    with monitor(journal) as (process, address), streams(address, journal.name):
        os.kill(process.pid, signal.SIGSTOP)
        yield


@contextmanager
def flooded_monitor(journal: Path) -> Iterator[None]:
    """A monitor that many ask without a pause."""
    with monitor(journal) as (_, address), streams(address, journal.name):
        over = threading.Event()
        threads = [threading.Thread(target=ask, args=(address, journal.name, over)) for _ in range(ASKERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()


def connection(address: str, path: str) -> http.client.HTTPConnection:
    """A connection that asks with the token."""
    parts = urlsplit(address)
    found = http.client.HTTPConnection("127.0.0.1", int(parts.port or 0), timeout=600)
    cookie = f"turnwise-monitor-{parts.port}={parts.query.partition('=')[2]}"
    found.request("GET", path, headers={"Cookie": cookie})
    return found


@contextmanager
def streams(address: str, run: str) -> Iterator[None]:
    """Streams that nobody reads."""
    found = [connection(address, f"/api/{name}?run={run}") for name in ("events", "live")]
    for one in found:
        assert one.getresponse().status == 200
    yield
    for one in found:
        one.close()


def ask(address: str, run: str, over: threading.Event) -> None:
    """Ask the same, again and again."""
    while not over.is_set():
        for path in (f"tile?run={run}&measure=fuel", f"messages?run={run}", f"summary?run={run}"):
            asked = connection(address, f"/api/{path}")
            assert asked.getresponse().read()
            asked.close()


@pytest.mark.parametrize("watched", [stopped_reader, stopped_monitor, flooded_monitor], ids=lambda of: of.__name__)
def test_a_run_goes_on_and_has_its_head(tmp_path: Path, watched: Callable[[Path], Iterator[None]]) -> None:
    path = tmp_path / "a.journal"
    rounds = 0
    with turnwise.start(lively(seed=3, rounds_max=1_000_000), journal=path) as live:
        live.step()
        with watched(path):  # type: ignore[attr-defined]
            end = time.monotonic() + STOPPED_SECONDS
            while time.monotonic() < end:
                live.step()
        live.stop()
    with turnwise.open(path) as run:
        rounds, head = run.last_round, run.head
    assert rounds > 2
    with turnwise.start(lively(seed=3, rounds_max=1_000_000), journal=tmp_path / "b.journal", telemetry=False) as alone:
        for _ in range(rounds):
            alone.step()
    with turnwise.open(tmp_path / "b.journal") as run:
        assert run.head == head
