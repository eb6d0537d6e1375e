"""What a worker gave up, tried from inside a real one; and each measure alone."""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import turnwise
from turnwise.confine import Measure, ProcessNeeds
from turnwise.confine.reaching_out import (
    CLONE,
    CLONE3,
    DENIED,
    DENIED_X86_64,
    FCNTL,
    IOCTL,
    MADVISE,
    OF_A_PROCESS,
    TGKILL,
    denial_program,
)
from turnwise.confine.seccomp import ALLOW, ARCHITECTURES, CALLS, DENY, KILL, NO_SUCH_CALL, filter_program
from turnwise.sandbox.pool import messages
from turnwise.sandbox.pool.pool import measures_here
from turnwise.sharedmem import launch

linux = pytest.mark.skipif(sys.platform != "linux", reason="measures of Linux")
SOURCES = str(Path(turnwise.__path__[0]).parent)
CHILDREN = str(Path(__file__).parents[1] / "sandbox" / "children")


def measures() -> dict[str, Measure]:
    return {measure.name: measure for measure in asyncio.run(measures_here())}


def test_the_report_names_every_measure() -> None:
    found = measures()
    assert list(found) == ["no_new_privileges", "landlock", "limits", "seccomp"]
    assert all(measure.detail for measure in found.values())


@linux
def test_a_worker_cannot_do_what_it_does_not_need() -> None:
    if not measures()["seccomp"].holds:
        pytest.skip("this kernel has no seccomp")

    async def probe() -> dict[str, str]:
        environment = {"SANDBOX_ROLE": "probe", "PYTHONPATH": os.pathsep.join([CHILDREN, SOURCES])}
        async with await launch("sandbox_child", name="probe", environment=environment) as peer:
            await peer.send(messages.LOAD, messages.encode([]))
            while (message := await peer.receive()) is not None:
                with message:
                    if message.kind == 100:
                        return msgspec.msgpack.decode(bytes(message.body), type=dict[str, str])
            raise AssertionError(peer.stderr_tail())

    report = asyncio.run(probe())
    allowed = {"take memory", "draw randomness", "read the clock"}
    assert len(report) > 25
    assert {name for name, result in report.items() if result == "done"} == allowed


LANDLOCK_ALONE = """
import os, pathlib, socket
from turnwise.confine import landlock
kept = open("/etc/hostname")
print(landlock.deny_all())
for action in (
    lambda: open("/etc/passwd"),
    lambda: open("/tmp/escaped", "w"),
    lambda: os.listdir("/"),
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: os.kill(os.getppid(), 0),
):
    try:
        action()
        print("done")
    except OSError as error:
        print(type(error).__name__)
kept.read()
"""


def child(program: str, *arguments: str) -> list[str]:
    environment = os.environ | {"PYTHONPATH": SOURCES}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


@linux
def test_landlock_holds_without_the_others() -> None:
    landlock = measures()["landlock"]
    if not landlock.holds:
        pytest.skip(landlock.detail)
    version, *results = child(LANDLOCK_ALONE)
    files = ["PermissionError"] * 3
    assert results[:3] == files
    if "tcp" in version:
        assert results[3] == "PermissionError"
    if "signals" in version:
        assert results[4] == "PermissionError"


@linux
def test_seccomp_covers_threads_that_run_already() -> None:
    if not measures()["seccomp"].holds:
        pytest.skip("this kernel has no seccomp")
    program = """
import threading
from turnwise.confine import ProcessNeeds, seccomp
go, told = threading.Event(), []
def late():
    go.wait()
    try:
        told.append(open("/etc/passwd"))
    except PermissionError:
        told.append("denied")
thread = threading.Thread(target=late)
thread.start()
seccomp.allow_only(ProcessNeeds())
go.set()
thread.join()
print(told[0])
"""
    assert child(program) == ["denied"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_limits_cannot_be_raised_again() -> None:
    program = """
import resource
from turnwise.confine import ProcessNeeds, limits
limits.lower(ProcessNeeds(files_max=20))
print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE))
kept = []
try:
    while True:
        kept.append(open("/dev/null"))
except OSError as error:
    print(len(kept) < 20)
"""
    assert child(program) == ["(20, 20) (0, 0)", "True"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_the_limit_of_processor_time_says_that_it_was_reached() -> None:
    """A kill without a word is then none of ours."""
    program = """
import os, signal
from turnwise.confine import ProcessNeeds, limits
child = os.fork()
if not child:
    limits.lower(ProcessNeeds(cpu_s_max=1))
    while True:
        pass
print(-signal.SIGXCPU == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert child(program) == ["True"]


# The filter is interpreted here as the kernel does, so that both architectures are tested on either.


def verdict(program: bytes, machine: str, number: int, arguments: tuple[int, ...] = ()) -> int:
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, ARCHITECTURES[machine], 0, *padded)
    code = list(struct.iter_unpack("<HBBI", program))
    place, word = 0, 0
    while True:
        operation, on_true, on_false, value = code[place]
        place += 1
        if operation == 0x20:
            (word,) = struct.unpack_from("<I", data, value)
        elif operation == 0x15:
            place += on_true if word == value else on_false
        elif operation == 0x45:
            place += on_true if word & value else on_false
        else:
            assert operation == 0x06
            return value


MACHINES = ("x86_64", "aarch64")
Verdict = Callable[..., int]


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def number_of(name: str, machine: str) -> int | None:
    return CALLS[name][MACHINES.index(machine)]


def test_what_is_not_on_the_list_is_denied(machine: str) -> None:
    program = filter_program(machine, ProcessNeeds(), 1234)
    listed = {number_of(name, machine) for name in CALLS}
    for number in range(1_024):
        if number not in listed:
            assert verdict(program, machine, number) == DENY
    assert len(program) // 8 <= 4_096, "the kernel takes no longer program"


def test_calls_of_another_architecture_kill(machine: str) -> None:
    other = MACHINES[1 - MACHINES.index(machine)]
    assert verdict(filter_program(machine, ProcessNeeds(), 1), other, 0) == KILL
    assert verdict(filter_program(machine, ProcessNeeds(), 1), machine, 0x4000_0000) == KILL


def test_conditions_hold_to_the_bit(machine: str) -> None:
    strict = filter_program(machine, ProcessNeeds(), 1234)
    loose = filter_program(machine, ProcessNeeds(threads=True, new_code=True), 1234)

    def check(program: bytes, name: str, *arguments: int) -> int:
        number = number_of(name, machine)
        assert number is not None
        return verdict(program, machine, number, arguments)

    thread, process = 0x003D_0F00, 0x0120_0011
    assert check(strict, "clone", thread) == check(loose, "clone", process) == DENY
    assert check(loose, "clone", thread) == ALLOW
    assert check(strict, "clone3") == check(loose, "clone3") == NO_SUCH_CALL
    for name in ("mmap", "mprotect"):
        assert check(strict, name, 0, 4096, 3) == ALLOW
        assert check(strict, name, 0, 4096, 7) == DENY
        assert check(loose, name, 0, 4096, 5) == ALLOW
    for command in (1, 2, 3, 1030, 1034):
        assert check(strict, "fcntl", 3, command, 0x2000) == ALLOW
    for command in (
        0,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        11,
        15,
        16,
        36,
        37,
        38,
        1024,
        1025,
        1026,
        1031,
        1033,
        1 << 31,
        0xFFFF_FFFF,
    ):
        assert check(loose, "fcntl", 3, command, 0) == DENY, command
    for advice in (0, 4, 8, 14, 15, 25):
        assert check(strict, "madvise", 0, 4096, advice) == ALLOW
    for advice in (9, 12, 13, 100, 101, 0xFFFF_FFFF):
        assert check(loose, "madvise", 0, 4096, advice) == DENY, advice
    assert check(strict, "tgkill", 1234) == ALLOW
    assert check(strict, "tgkill", 1) == DENY
    assert check(strict, "prlimit64", 0, 7, 0) == ALLOW
    assert check(strict, "prlimit64", 0, 7, 0x7FFF_0000_1000) == DENY
    assert check(strict, "prlimit64", 0, 7, 0x7FFF_0000_0000) == DENY
    assert check(strict, "prlimit64", 1, 7, 0) == DENY
    assert check(strict, "newfstatat", 3, 1, 2, 0x1000) == ALLOW
    assert check(strict, "newfstatat", 3, 1, 2, 0) == DENY
    assert check(strict, "read", 0, 1, 2) == ALLOW


def test_with_a_driver_what_reaches_beyond_the_process_is_denied_and_the_rest_allowed(machine: str) -> None:
    program, column = denial_program(machine, 1234), MACHINES.index(machine)

    def check(pair: tuple[int | None, int], *arguments: int) -> int:
        number = pair[column]
        assert number is not None
        return verdict(program, machine, number, arguments)

    older = set(DENIED_X86_64.values()) if machine == "x86_64" else set()
    denied = {pair[column] for pair in DENIED.values()} | older
    known = {pair[column] for pair in (CLONE, TGKILL, FCNTL, IOCTL, MADVISE, *OF_A_PROCESS.values())}
    for number in range(1_024):
        if number in denied:
            assert verdict(program, machine, number) == DENY, number
        elif number not in known | {CLONE3}:
            assert verdict(program, machine, number) == ALLOW, number
    assert not denied & {number_of(name, machine) for name in CALLS}
    assert verdict(program, machine, CLONE3) == NO_SUCH_CALL
    assert check(CLONE, 0x003D_0F00) == ALLOW
    assert check(CLONE, 0x0120_0011) == DENY
    assert (check(TGKILL, 1234), check(TGKILL, 1)) == (ALLOW, DENY)
    for pair in OF_A_PROCESS.values():
        assert [check(pair, process) for process in (0, 1234, 1)] == [ALLOW, ALLOW, DENY]
    assert [check(FCNTL, 3, command) for command in (1, 2, 3, 4, 1030, 8, 10, 15)] == [ALLOW] * 5 + [DENY] * 3
    assert [check(IOCTL, 3, request) for request in (0xC020_462A, 0x8901, 0x5412)] == [ALLOW, DENY, DENY]
    assert [check(MADVISE, 0, 4096, advice) for advice in (4, 9, 100)] == [ALLOW, ALLOW, DENY]
    assert verdict(program, MACHINES[1 - column], 0) in {ALLOW, KILL}
    assert verdict(program, machine, 0x4000_0000) == KILL


KEPT = """
import os, pathlib, sys
from turnwise.confine import KeptFiles
from turnwise.confine.landlock import deny_all
folder = pathlib.Path(sys.argv[1])
deny_all(KeptFiles(read=(folder / "library", folder / "missing"), devices=(folder / "device",)))
for action in (
    lambda: (folder / "library" / "below" / "code").read_bytes(),
    lambda: os.listdir(folder / "library"),
    lambda: (folder / "device").open("r+b").write(b"x"),
    lambda: (folder / "library" / "below" / "code").write_bytes(b"x"),
    lambda: (folder / "library" / "new").mkdir(),
    lambda: (folder / "private").read_bytes(),
    lambda: os.listdir(folder),
    lambda: os.execv(folder / "library" / "below" / "code", ["code"]),
):
    try:
        action()
        print("done")
    except OSError as error:
        print(type(error).__name__)
"""


@linux
def test_landlock_keeps_what_it_is_told_and_nothing_else(tmp_path: Path) -> None:
    landlock = measures()["landlock"]
    if not landlock.holds:
        pytest.skip(landlock.detail)
    (tmp_path / "library" / "below").mkdir(parents=True)
    for name in ("library/below/code", "device", "private"):
        (tmp_path / name).write_bytes(b"#!/bin/true")
    (tmp_path / "library" / "below" / "code").chmod(0o755)
    assert child(KEPT, str(tmp_path)) == ["done"] * 3 + ["PermissionError"] * 5
