"""A child process for the tests: `python -m sharedmem_child <endpoint> <role> …`."""

from __future__ import annotations

import ctypes
import mmap
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

import numpy as np

from turnwise.sharedmem import Endpoint, PeerGone, connect

DONE = 1
TEXT = 2


def echo(end: Endpoint) -> None:
    """Send back whatever comes."""
    while (message := end.receive()) is not None:
        with message:
            end.send(message.kind, message.body)


def parts(end: Endpoint) -> None:
    """Send back whatever comes, cut in three."""
    while (message := end.receive()) is not None:
        with message:
            third = len(message.body) // 3
            end.send(
                message.kind, message.body[:third], bytes(message.body[third : 2 * third]), message.body[2 * third :]
            )


def hold(end: Endpoint) -> None:
    """Read messages without releasing them until one of kind DONE comes, then echo all of them in order."""
    held = []
    while (message := end.receive()) is not None:
        if message.kind != DONE:
            held.append(message)
            end.send(TEXT, b"held")
            continue
        with message:
            for one in held:
                with one:
                    end.send(one.kind, one.body)
            held.clear()


def stop(end: Endpoint) -> None:
    """Read one message, say so, then stop reading until killed."""
    message = end.receive()
    assert message is not None
    with message:
        end.send(TEXT, b"stopped")
    signal.pause()


def flood(end: Endpoint) -> None:
    """Send as many messages as the first message says, as fast as they go."""
    message = end.receive()
    assert message is not None
    with message:
        count = int(bytes(message.body))
    for number in range(count):
        end.send(TEXT, str(number).encode())
    echo(end)


def crash(end: Endpoint) -> None:
    """Die in the middle of a message's handling, with words."""
    end.send(TEXT, b"last words")
    message = end.receive()
    assert message is not None
    print("it hurts", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def fail(end: Endpoint) -> None:
    """Raise an error, and say that the link is still open when it is written."""

    def write(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        end.send(TEXT, b"writing")
        sys.__excepthook__(kind, error, trace)

    sys.excepthook = write
    raise ValueError("the reason")


def compute(end: Endpoint) -> None:
    """Say the process id, and compute for ever, without looking at the link."""
    end.send(TEXT, str(os.getpid()).encode())
    while True:
        pass


def stubborn(end: Endpoint) -> None:
    """Say so, and do not end at the end of file."""
    end.send(TEXT, b"ready")
    while end.receive() is not None:
        pass
    threading.Event().wait()


def write(end: Endpoint) -> None:
    """Try to write to a message by Python, and report what happens."""
    message = end.receive()
    assert message is not None
    with message:
        try:
            message.body[0] = 1
        except TypeError as error:
            end.send(TEXT, str(error).encode())
    echo(end)


def overwrite(end: Endpoint) -> None:
    """Write to the memory of a message behind Python's back: the kernel must end this process."""
    message = end.receive()
    assert message is not None
    address = np.frombuffer(message.body, dtype=np.uint8).ctypes.data
    end.send(TEXT, ctypes.string_at(address, 5))
    ctypes.memset(address, 0, 1)
    end.send(TEXT, b"written")


def remap(end: Endpoint) -> None:
    """Map every memory file that this process can reach for writing, and report what the kernel says."""
    message = end.receive()
    assert message is not None
    message.release()
    refused, granted = 0, 0
    for link in list(Path("/proc/self/fd").iterdir()):
        try:
            target = str(link.readlink())
        except OSError:  # the listing's own
            continue
        if "memfd:turnwise" not in target:
            continue
        try:
            fd = os.open(link, os.O_RDWR)
            mmap.mmap(fd, 4096, flags=mmap.MAP_SHARED).close()
            granted += 1
        except PermissionError:
            refused += 1
    end.send(TEXT, f"refused {refused}, granted {granted}".encode())


def outlive(end: Endpoint) -> None:
    """Wait for the orchestrator to be gone, and find that sending says so as well."""
    end.send(TEXT, b"ready")
    assert end.receive() is None
    try:
        end.send(TEXT, b"anybody?")
    except PeerGone:
        raise SystemExit(42) from None


def family(end: Endpoint) -> None:
    """Start a process of its own, tell both numbers, and wait."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as child:
        end.send(TEXT, f"{os.getpid()} {child.pid}".encode())
        signal.pause()


def environment(end: Endpoint) -> None:
    """Report environment, standard input, arguments and session."""
    facts = {
        "environment": dict(os.environ),
        "stdin": sys.stdin.read(),
        "arguments": sys.argv[2:],
        "path0": sys.path[0],
        "session": os.getsid(0) == os.getpid(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0,
    }
    end.send(TEXT, repr(facts).encode())


def wait_for_parent_s_death() -> None:
    try:
        parent = os.pidfd_open(int(sys.argv[1].split(":")[2]))
    except ProcessLookupError:
        return
    select.select([parent], [], [])


ROLES = {
    role.__name__: role
    for role in (
        echo,
        parts,
        hold,
        stop,
        flood,
        crash,
        fail,
        compute,
        stubborn,
        write,
        overwrite,
        remap,
        outlive,
        family,
        environment,
    )
}

if __name__ == "__main__":
    if sys.argv[2] == "unborn":
        wait_for_parent_s_death()
    with connect(sys.argv) as endpoint:
        ROLES[sys.argv[2]](endpoint)
