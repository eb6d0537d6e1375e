"""Starting of builders: one process for each source, with a deadline.

Whatever a hostile source does to the compiler happens in the builder's process; its reply is checked by its type, and
nothing else of it is believed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from typing import TypeVar

import msgspec

from turnwise.errors import EnvironmentFailure
from turnwise.sandbox.build.messages import (
    CompileReply,
    CompileRequest,
    PrepareReply,
    PrepareRequest,
    Reply,
    SourceProblem,
)
from turnwise.sandbox.execute.headroom import memory_is_bounded
from turnwise.sharedmem.process import child_environment, start_failure

BUILDER = "turnwise.sandbox.build.builder"
WALL_S_MAX = 300
STDERR_CHARS_MAX = 2_000
NO_VECTORS = "support for v128 is not implemented"
"""Last words of a builder that looked at the type of an import or export with a vector, of which the engine's interface
has no type. Only the functions of the contract are looked at."""
ABORTED = (-signal.SIGABRT, -signal.SIGSEGV)
"""Ends of a compiler that was refused memory: where that is bounded from outside, its source is not to blame."""

R = TypeVar("R", CompileReply, PrepareReply)


class BuildFailed(Exception):
    """A source that cannot be built, by its author's mistake. `line` counts from 1."""

    def __init__(self, message: str, file: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line


async def build(request: CompileRequest | PrepareRequest, expected: type[R]) -> R:
    """Run a builder for `request` and return its reply. Raises `BuildFailed` or `EnvironmentFailure`."""
    process = _Process()
    try:
        output = await asyncio.to_thread(process.run, msgspec.msgpack.encode(request))
    finally:
        process.kill()
    try:
        reply = msgspec.msgpack.decode(output, type=Reply)
    except msgspec.DecodeError as error:
        raise BuildFailed(f"the compiler's answer cannot be read: {error}") from None
    if isinstance(reply, SourceProblem):
        raise BuildFailed(reply.message, reply.file, reply.line)
    if not isinstance(reply, expected):
        raise BuildFailed("the compiler answered something else than it was asked")
    return reply


class _Process:
    """A builder's process, run by a thread that waits for it, and killed by any other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._popen: subprocess.Popen[bytes] | None = None
        self._unwanted = False

    def run(self, request: bytes) -> bytes:
        """Start the builder with `request` on its standard input; return what it wrote, if it ended with status 0."""
        command = [sys.executable, "-P", "-m", BUILDER, str(os.getpid())]
        pipe = subprocess.PIPE
        with self._lock:
            if self._unwanted:
                return b""
            try:
                popen = self._popen = subprocess.Popen(
                    command,
                    stdin=pipe,
                    stdout=pipe,
                    stderr=pipe,
                    env=child_environment(None),
                    start_new_session=True,  # Ctrl-C on the terminal is for the orchestrator to answer
                )
            except OSError as error:
                raise start_failure("the compiler's process cannot be started", error) from error
        with popen:
            try:
                output, errors = popen.communicate(request, timeout=WALL_S_MAX)
            except subprocess.TimeoutExpired:
                popen.kill()
                raise BuildFailed(f"it takes more than {WALL_S_MAX} seconds to compile") from None
        if popen.returncode == 1:
            raise EnvironmentFailure(
                f"the compiler's process cannot work\n{errors.decode('utf-8', 'replace')[-STDERR_CHARS_MAX:]}",
                hint="`turnwise doctor` says what this machine has and lacks.",
            )
        if popen.returncode == -signal.SIGKILL:
            # None of its own limits ends it so: those of time by SIGXCPU or above, that of memory by an error.
            raise EnvironmentFailure(
                "the compiler's process was killed from outside (SIGKILL), as a machine that runs out of memory does",
                hint="Free memory, or give this run more of it, and try again.",
            )
        if NO_VECTORS in " ".join(errors.decode("utf-8", "replace").replace("`", " ").split()):
            raise BuildFailed(
                "`turnwise_turn` or `turnwise_alloc` that it exports, or `turnwise.effect` that it imports, has a v128 "
                "among its parameters or results; these functions take and return i32 and i64"
            )
        if popen.returncode in ABORTED and memory_is_bounded():
            raise EnvironmentFailure(
                f"{_death(popen.returncode, errors.decode('utf-8', 'replace'))}",
                hint="A limit of memory from outside (`ulimit -v`, `ulimit -d`) holds for it: raise that limit.",
            )
        if popen.returncode != 0:
            raise BuildFailed(_death(popen.returncode, errors.decode("utf-8", "replace")))
        return output

    def kill(self) -> None:
        """Kill the builder, or keep it from starting. Harmless when it has ended."""
        with self._lock:
            self._unwanted = True
            if self._popen is not None:
                self._popen.kill()


def _death(code: int, errors: str) -> str:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
    return f"the compiler {how}; it may need more than its limits allow\n{errors[-STDERR_CHARS_MAX:]}".rstrip()
