"""Attacks on another process of the same user, from inside a real worker and a process confined as inference is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import turnwise
from turnwise.confine.seccomp import CALLS
from turnwise.sandbox.pool import messages
from turnwise.sandbox.pool.pool import measures_here
from turnwise.sharedmem import launch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures of Linux")
SOURCES = str(Path(turnwise.__path__[0]).parent)
CHILDREN = os.pathsep.join(
    str(folder) for folder in (Path(__file__).parents[1] / "sandbox" / "children", Path(__file__).parent / "children")
)


@pytest.fixture(scope="module", autouse=True)
def _seccomp() -> None:
    if not {measure.name: measure.holds for measure in asyncio.run(measures_here())}["seccomp"]:
        pytest.skip("this kernel has no seccomp")


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """Another process of this user."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"]) as process:
        yield process
        process.kill()


OWN_AND_SIGNAL = """
import json, os, signal, socket, sys
from attacks import attacks
ours, theirs = socket.socketpair()
tried = list(attacks(int(sys.argv[1]), ours.fileno()).items())[:3]
for name, action in tried:
    action()
theirs.send(b"now")
"""


def test_the_control_kills_where_nothing_is_given_up(victim: subprocess.Popen[bytes]) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([CHILDREN, SOURCES])}
    subprocess.run([sys.executable, "-c", OWN_AND_SIGNAL, str(victim.pid)], env=environment, check=True)
    assert victim.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize("landlock", ["with", "without"])
def test_a_worker_reaches_no_other_process(victim: subprocess.Popen[bytes], landlock: str) -> None:
    """From the thread that runs guests, and from one that is older than every measure."""
    reports = asyncio.run(worker_reports(victim.pid, landlock))
    assert sorted(reports) == ["guests", "older"]
    for thread, report in reports.items():
        assert len(report) > 50
        assert {name: found for name, found in report.items() if found != "EPERM"} == {}, thread
    assert victim.poll() is None


async def worker_reports(victim: int, landlock: str) -> dict[str, dict[str, str]]:
    environment = {
        "SANDBOX_ROLE": "attack",
        "SANDBOX_VICTIM": str(victim),
        "SANDBOX_LANDLOCK": landlock,
        "PYTHONPATH": os.pathsep.join([CHILDREN, SOURCES]),
    }
    async with await launch("sandbox_child", name="attack", transport="memfd", environment=environment) as peer:
        await peer.send(messages.LOAD, messages.encode([]))
        while (message := await peer.receive()) is not None:
            with message:
                if message.kind == 100:
                    return msgspec.msgpack.decode(bytes(message.body), type=dict[str, dict[str, str]])
        raise AssertionError(peer.stderr_tail())


INFERENCE = """
import json, os, socket, sys, threading
import onnxruntime, numpy
from attacks import attack
from turnwise.confine import landlock
from turnwise.confine.measure import Unavailable
from turnwise.inference.server.confinement import give_up
def none(keep):
    raise Unavailable("for the test")
if sys.argv[2] == "without":
    landlock.deny_all = none
go, reports = threading.Event(), {}
ours, theirs = socket.socketpair()
def older():
    go.wait()
    reports["older"] = attack(int(sys.argv[1]), ours.fileno())
thread = threading.Thread(target=older)
thread.start()
give_up([sys.argv[3]])
go.set()
thread.join()
reports["first"] = attack(int(sys.argv[1]), ours.fileno())
theirs.send(b"now")
print(json.dumps(reports), flush=True)
os._exit(0)
"""


OF_THE_PROCESS_ITSELF = {
    "ask for signals",  # with no owner, they go to nobody
    "make a timer",
    "set a timer",
    "control itself",
    "watch files",
    "read signals",
    "make an event",
    "put a descriptor over another",
    "lift a ruleset",  # which can only be added to
    "change the filter",  # as this can
}
"""What is tried and reaches nobody, so that it is left to a device's driver."""


@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "CUDAExecutionProvider"])
@pytest.mark.parametrize("landlock", ["with", "without"])
def test_inference_reaches_no_other_process(victim: subprocess.Popen[bytes], landlock: str, provider: str) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([CHILDREN, SOURCES])}
    command = [sys.executable, "-c", INFERENCE, str(victim.pid), landlock, provider]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    reports = json.loads(done.stdout)
    left = set() if provider == "CPUExecutionProvider" else OF_THE_PROCESS_ITSELF
    for thread, report in reports.items():
        assert len(report) > 50
        denied = {name: found for name, found in report.items() if name not in left}
        assert {name: found for name, found in denied.items() if found != "EPERM"} == {}, thread
    assert victim.poll() is None


def test_what_is_attacked_is_what_could_be_allowed() -> None:
    """The numbers are those of the list, and the calls on it that could reach another process are tried."""
    from tests.confine.children.attacks import NUMBERS

    for name in set(NUMBERS) & set(CALLS):
        assert NUMBERS[name] == CALLS[name]
    assert {"fcntl", "tgkill", "prlimit64", "madvise", "clone"} <= set(NUMBERS) & set(CALLS)
