"""Workers that are real but for one thing: `python -m sandbox_child <endpoint>` with the role in `SANDBOX_ROLE`."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turnwise.confine import KeptFiles, landlock
from turnwise.confine.measure import Unavailable
from turnwise.sandbox.execute.executor import Executor
from turnwise.sandbox.execute.jobs import TurnResult
from turnwise.sandbox.pool import messages, worker
from turnwise.sharedmem import Endpoint

FUEL_TO_STAND_AT = 10**17
libc = ctypes.CDLL(None, use_errno=True)


def raw(name: str, *arguments: object) -> None:
    """A function of the C library, whose failure is an OSError."""
    if getattr(libc, name)(*arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def make_thread() -> None:
    threading.Thread(target=int).start()


FORBIDDEN: dict[str, Callable[[], object]] = {
    "read a file": lambda: Path("/etc/passwd").read_bytes(),
    "read its own memory": lambda: os.open("/proc/self/mem", os.O_RDWR),
    "write a file": lambda: Path("/tmp/turnwise-escaped").write_bytes(b"x"),
    "list a folder": lambda: os.listdir("/"),  # noqa: PTH208
    "look at a file": lambda: os.stat("/etc/passwd"),  # noqa: PTH116
    "remove a file": lambda: os.unlink("/tmp/turnwise-escaped"),  # noqa: PTH108
    "make a folder": lambda: os.mkdir("/tmp/turnwise-escaped"),  # noqa: PTH102
    "change the folder": lambda: os.chdir("/"),
    "make a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "make a socket pair": socket.socketpair,
    "make a pipe": os.pipe,
    "make a memory file": lambda: os.memfd_create("escaped"),
    "fork": os.fork,
    "start a program": lambda: subprocess.run(["/bin/true"], check=True),
    "become a program": lambda: os.execv("/bin/true", ["true"]),
    "start a thread": make_thread,
    "signal its parent": lambda: os.kill(os.getppid(), 0),
    "trace": lambda: raw("ptrace", 0, 0, 0, 0),
    "mount": lambda: raw("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "leave its namespaces": lambda: raw("unshare", 0x1000_0000),
    "make memory executable": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    "change its limits": lambda: raw("setrlimit", 7, ctypes.create_string_buffer(16)),
    "change its rights": lambda: os.setuid(12345),
    "use io_uring": lambda: raw("syscall", 425, 1, None),
    "use bpf": lambda: raw("syscall", 321, 0, None, 0),
}
ALLOWED: dict[str, Callable[[], object]] = {
    "take memory": lambda: mmap.mmap(-1, 1024 * 1024),
    "draw randomness": lambda: os.urandom(8),
    "read the clock": lambda: __import__("time").time(),
}


def attempt(action: Callable[[], object]) -> str:
    try:
        action()
    except (OSError, RuntimeError) as error:
        return type(error).__name__
    return "done"


def probe(endpoint: Endpoint, _: Executor) -> None:
    """Instead of jobs: try everything, and report."""
    report = {name: attempt(action) for name, action in (FORBIDDEN | ALLOWED).items()}
    endpoint.send(100, messages.encode(report))
    endpoint.receive()


def lie(endpoint: Endpoint, _: Executor) -> None:
    """HostFunction the first batch with what no honest worker says."""
    message = endpoint.receive()
    assert message is not None
    with message:
        (first, *_) = messages.read_jobs(message.kind, message.body)
    number, fuel = first[0], first[4]
    lies: dict[str, object] = {
        "twice": [(number, "completed", b"{}", None, 1, "", 1)] * 2,
        "foreign": [(number + 1_000, "completed", b"{}", None, 1, "", 1)],
        "fuel": [(number, "completed", b"{}", None, fuel + 1, "", 1)],
        "negative": [(number, "completed", b"{}", None, -1, "", 1)],
        "large": [(number, "completed", b"x" * 2_000_000, None, 1, "", 1)],
        "stdout": [(number, "completed", b"{}", None, 1, "x" * 1_000_000, 1)],
        "unclassified": [(number, "failed", b"message", None, 1, "", 1)],
        "class": [(number, "failed", b"message", "bored", 1, "", 1)],
        "status": [(number, "great", b"{}", None, 1, "", 1)],
        "garbage": "not a list",
    }
    endpoint.send(messages.RESULTS, messages.encode(lies[os.environ["SANDBOX_LIE"]]))
    endpoint.receive()


def die(_: Endpoint, __: Executor) -> None:
    """End before the first job."""
    print("the last words", file=sys.stderr)
    os.kill(os.getpid(), signal.SIGKILL) if os.environ.get("SANDBOX_KILL") else os._exit(7)


def stand(endpoint: Endpoint, executor: Executor) -> None:
    """Work, but stand still for ever at a job with as much fuel as only a test gives."""
    execute = Executor.execute

    def execute_or_stand(self: Executor, *arguments: Any) -> TurnResult:
        while arguments[4] >= FUEL_TO_STAND_AT:
            time.sleep(3600)
        return execute(self, *arguments)

    Executor.execute = execute_or_stand  # type: ignore[method-assign]
    work(endpoint, executor)


def attack(endpoint: Endpoint, _: Executor) -> None:
    """Instead of jobs: attack another process, from this thread and from one that is older than every measure."""
    reports = {"guests": attack_victim()}
    go.set()
    older.join()
    reports["older"] = found[0]
    endpoint.send(100, messages.encode(reports))
    endpoint.receive()


def attack_victim() -> dict[str, str]:
    from attacks import attack

    return attack(int(os.environ["SANDBOX_VICTIM"]), int(sys.argv[1].split(":")[1]))


def attack_later() -> None:
    go.wait()
    found.append(attack_victim())


def no_landlock(keep: KeptFiles) -> str:
    raise Unavailable("for the test")


go, found = threading.Event(), list[dict[str, str]]()
older = threading.Thread(target=attack_later, daemon=True)
if os.environ["SANDBOX_ROLE"] == "attack":
    import attacks  # noqa: F401

    older.start()
    if os.environ["SANDBOX_LANDLOCK"] == "without":
        landlock.deny_all = no_landlock

work = worker._work
roles = {"probe": probe, "lie": lie, "die": die, "stand": stand, "attack": attack}
worker._work = roles[os.environ["SANDBOX_ROLE"]]
if __name__ == "__main__":
    worker.main()
