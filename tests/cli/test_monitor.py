"""`turnwise monitor`, and a monitor beside a run: nothing that happens to it reaches the run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError

import pytest

import turnwise
from tests.cli.test_run import read_until, start
from tests.cli.worlds import TICKS, command, environment, interrupt, make_world
from tests.cli.worlds import turnwise as run_command
from turnwise.cli.serving_page import browser_program
from turnwise.core.records import RoundRecord
from turnwise.errors import UsageError


def opened(address: str) -> urllib.request.OpenerDirector:
    """A reader that has opened the first address, and so has the cookie."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    assert b"Turnwise monitor" in opener.open(address, timeout=60).read()
    return opener


@pytest.mark.skipif(sys.platform == "win32", reason="the browser of this test is a script")
def test_it_serves_until_ctrl_c_and_leaves_in_order(tmp_path: Path) -> None:
    opened_in = tmp_path / "opened"
    browser = tmp_path / "servo"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{opened_in}.new"\nmv "{opened_in}.new" "{opened_in}"\n')
    browser.chmod(0o755)
    with subprocess.Popen(
        command("monitor", tmp_path, "--browser", browser),
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        while not opened_in.exists():
            time.sleep(0.02)
        assert opened_in.read_text() == address
        reader = opened(address)
        assert b'"runs":[]' in reader.open(address.partition("?")[0] + "api/runs", timeout=60).read()
        with pytest.raises(HTTPError, match="403"):
            urllib.request.urlopen(address.partition("?")[0] + "api/runs", timeout=60)
        interrupt(process)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err == ""


@pytest.mark.parametrize("stopped", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_order_while_pages_listen(tmp_path: Path, stopped: signal.Signals) -> None:
    turnwise.run(make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=2), journal=tmp_path / "a.journal").close()
    with subprocess.Popen(
        command("monitor", tmp_path), env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        reader = opened(address)
        root = address.partition("?")[0]
        streams = [reader.open(f"{root}api/{name}?run=a.journal", timeout=60) for name in ("events", "live")]
        assert all(stream.readline() for stream in streams)
        process.send_signal(stopped)
        _, err = process.communicate(timeout=60)
        for stream in streams:
            stream.close()
    assert "Traceback" not in err
    assert "Cancel" not in err


def test_wrong_input_is_told(tmp_path: Path) -> None:
    ended = run_command("monitor", "missing", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: missing: there is no such file or folder\n")
    with pytest.raises(UsageError, match="there is no such browser"):
        browser_program("no-such-browser")


def child_of(process: subprocess.Popen[str]) -> int:
    """The monitor's process, which is the child whose arguments say so."""
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    for child in " ".join([file.read_text() for file in children]).split():
        if b"--beside" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise AssertionError("there is no monitor beside the run")


def kill(address: str, monitor: int) -> None:
    os.kill(monitor, signal.SIGKILL)


def ask_much_and_freeze(address: str, monitor: int) -> None:
    reader = opened(address)
    root = address.partition("?")[0]
    for _ in range(10):
        reader.open(f"{root}api/tile?run=one.journal&measure=fuel", timeout=60).read()
        reader.open(f"{root}api/messages?run=one.journal", timeout=60).read()
    for _ in range(5):
        reader.open(f"{root}api/events?run=one.journal", timeout=60).close()
    os.kill(monitor, signal.SIGSTOP)


def committed(journal: Path) -> int:
    """Rounds of a run so far."""
    with turnwise.open(journal) as run:
        return run.last_round


def wait_for_more(journal: Path, rounds: int) -> None:
    """Wait until a run has so many more rounds than now."""
    wanted = committed(journal) + rounds
    while committed(journal) < wanted:
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the monitor below /proc")
@pytest.mark.parametrize("disturb", [kill, ask_much_and_freeze], ids=lambda one: one.__name__)
def test_a_run_does_not_feel_its_monitor(tmp_path: Path, disturb: Callable[[str, int], None]) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=1_000_000)
    journal = tmp_path / "one.journal"
    with start("run", world, "--journal", journal.name, "--workers", 1, "--monitor", cwd=tmp_path) as process:
        said = read_until(process, "monitor: http")
        found = re.search(r"http://\S+", said)
        assert found is not None
        monitor = child_of(process)
        disturb(found[0], monitor)
        wait_for_more(journal, 20)
        interrupt(process)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert not Path(f"/proc/{monitor}").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.journal", "w"]
    with turnwise.open(journal) as run:
        rounds, head = run.last_round, run.head
    with turnwise.start(world, journal=tmp_path / "other.journal", workers=1) as live:
        undisturbed = [live.step() for _ in range(rounds)]
    assert isinstance(undisturbed[-1], RoundRecord)
    assert undisturbed[-1].head.hex() == head


@pytest.mark.parametrize("goes_on", [["resume"], ["run", "w", "--or-resume", "--journal"]], ids=["resume", "or-resume"])
def test_a_run_that_goes_on_is_shown_too(tmp_path: Path, goes_on: list[str]) -> None:
    make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=1_000_000)
    journal = tmp_path / "one.journal"
    with turnwise.start(tmp_path / "w", journal=journal, workers=1) as live:
        live.step()
    with start(*goes_on, journal.name, "--workers", 1, "--monitor", cwd=tmp_path) as process:
        read_until(process, "monitor: http")
        interrupt(process)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err


def test_a_native_run_has_nothing_to_show(tmp_path: Path) -> None:
    make_world(tmp_path / "w", {"tick.wat": TICKS})
    with start("run", "w", "--native", "--monitor", cwd=tmp_path) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a native run has no journal to show" in err
