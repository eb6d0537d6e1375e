"""The guard of a tool server: its parent, which ends it and all that it has started when the orchestrator is gone.

A tool may start programs, hang in code that never returns to Python, or leave its session. So what ends it is another
process, which runs none of that: it waits for the server, and for the end of file of a pipe that only the orchestrator
holds. Then it kills the server's process group and, where the system can say whose children orphans were (Linux), all
that has left that group. It imports nothing but the standard library, and not much of that, since it runs beside every
server.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

SWEEPS_MAX: Final = 1_000
"""Times that processes are looked for which have left the group, before those that are left are given up."""

_PR_SET_CHILD_SUBREAPER: Final = 36
_SIGNALLED: Final = 128


def main() -> int:
    """Run the server of `turnwise.tools.process`; its life is the pipe whose descriptor is the last argument."""

    def serve() -> int:
        status: int = importlib.import_module("turnwise.tools.process").main()
        return status

    return guarded(serve, int(sys.argv[-1])) if hasattr(os, "fork") else serve()


def guarded(serve: Callable[[], int], life: int) -> int:
    """Run `serve` in a child of this process; return its exit status when it, and all it has started, is gone.

    `life` is the descriptor of the pipe whose end says that the orchestrator is gone, or wants an end. To be called
    before there are threads.
    """
    _adopt_orphans()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.close(life)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return serve()
    with suppress(OSError):
        os.setpgid(child, child)
    for descriptor in (0, 1):  # the server's alone: their end says that it has ended
        os.close(descriptor)
    status = _wait(child, life)
    _sweep(child)
    return status


def _wait(child: int, life: int) -> int:
    """Wait for the end of the child, or of the pipe; return the child's exit status, 128 more than a signal."""
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done == child:
            return _exit_status(status)
        readable, _, _ = select.select([life, ended], [], [])
        if ended in readable:
            os.read(ended, 4096)
        if life in readable and not os.read(life, 1):
            _kill_group(child)
            return _exit_status(os.waitpid(child, 0)[1])


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else _SIGNALLED - code


def _kill_group(group: int) -> None:
    with suppress(OSError):
        os.killpg(group, signal.SIGKILL)


def _sweep(child: int) -> None:
    """Kill what is left of the child's group, and all that has come to this process as an orphan."""
    _kill_group(child)
    for _ in range(SWEEPS_MAX):
        for orphan in _children():
            with suppress(OSError):
                os.kill(orphan, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> Iterator[int]:
    """Yield the children of this process, as far as the system tells."""
    me = os.getpid()
    try:
        numbers = [int(name) for entry in Path("/proc").iterdir() if (name := entry.name).isdecimal()]
    except OSError:
        return
    for number in numbers:
        with suppress(OSError, ValueError, IndexError):
            status = Path(f"/proc/{number}/stat").read_bytes()
            if int(status.rpartition(b")")[2].split()[1]) == me:
                yield number


def _adopt_orphans() -> None:
    """Have orphans of the child become children of this process (Linux); elsewhere they are lost sight of."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
