"""Having a source compiled: a builder of its own for each, with a deadline.

Whatever a hostile source does to the compiler happens in the builder's process; its reply is checked by its type, and
nothing else of it is believed.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TypeVar

import msgspec

from turnwise.errors import EnvironmentFailure
from turnwise.sandbox.build_messages import CompileReply, CompileRequest, PrepareReply, PrepareRequest, Problem, Reply
from turnwise.sharedmem.process import child_environment

WALL_S_MAX = 300
STDERR_CHARS_MAX = 2_000

R = TypeVar("R", CompileReply, PrepareReply)


class BuildFailed(Exception):
    """The source cannot be built: the author's mistake. `line` counts from 1."""

    def __init__(self, message: str, file: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line


async def build(request: CompileRequest | PrepareRequest, expected: type[R]) -> R:
    """Has `request` carried out by a builder of its own. Raises `BuildFailed` or `EnvironmentFailure`."""
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "turnwise.sandbox.builder"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=child_environment(None),
        )
    except OSError as error:
        raise EnvironmentFailure(f"the compiler's process cannot be started: {error}") from error
    try:
        async with asyncio.timeout(WALL_S_MAX):
            output, errors = await process.communicate(msgspec.msgpack.encode(request))
    except TimeoutError:
        raise BuildFailed(f"it takes more than {WALL_S_MAX} seconds to compile") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise BuildFailed(_death(process.returncode, errors.decode("utf-8", "replace")))
    reply = msgspec.msgpack.decode(output, type=Reply)
    if isinstance(reply, Problem):
        raise BuildFailed(reply.message, reply.file, reply.line)
    if not isinstance(reply, expected):
        raise BuildFailed("the compiler answered something else than it was asked")
    return reply


def _death(code: int | None, errors: str) -> str:
    how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
    return f"the compiler {how}; it may need more than its limits allow\n{errors[-STDERR_CHARS_MAX:]}".rstrip()
