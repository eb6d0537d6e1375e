"""One command of the command line, in a process of its own: its JSON, bounded, and what it says of its progress."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio

from turnwise.visible_text import visible

RESULT_BYTES_MAX: Final = 1024 * 1024
"""Bytes of a result as JSON."""

SAID_CHARS_MAX: Final = 4_000
"""Characters of what a command says when it fails."""

LINE_BYTES_MAX: Final = 64 * 1024
"""Bytes of a line that a command says."""

STOP_S_MAX: Final = 20.0
"""Seconds in which a command that is interrupted ends, before it is killed."""

_ROUND: Final = re.compile(rb"round ([\d,]+) of at most ([\d,]+)")

OnRound = Callable[[int, int], Awaitable[None]]
"""Told the round that is played, and the most that there can be."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """End of a command."""

    value: Any = None
    """JSON value that it wrote; None if it wrote none, or too much."""
    error: str = ""
    """Words for people where it failed; empty where it did not."""
    is_stopped: bool = False
    """True if its time was over, and it was asked to stop."""


async def run_command(
    arguments: Sequence[str], folder: Path, seconds_max: float, on_round: OnRound | None = None
) -> CommandResult:
    """Run `turnwise ARGUMENTS --json` in a folder. Cancelling this interrupts it, as Ctrl-C does."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "turnwise", *arguments, "--json"),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=LINE_BYTES_MAX,
    )
    output = asyncio.create_task(_bounded(process.stdout, process))
    said = asyncio.create_task(_said(process.stderr, on_round))
    is_stopped = False
    try:
        try:
            async with asyncio.timeout(seconds_max):
                await process.wait()
        except TimeoutError:
            is_stopped = True
            await _stop(process)
        return _result(await output, await said, is_stopped)
    finally:
        if process.returncode is None:
            with anyio.CancelScope(shield=True):  # or each wait would end at once
                await _stop(process)
        for task in (output, said):
            task.cancel()


async def _bounded(stream: asyncio.StreamReader | None, process: asyncio.subprocess.Process) -> bytes | None:
    """All that a command writes; None if that is too much, at which it is ended."""
    parts = bytearray()
    while stream is not None and (part := await stream.read(65536)):
        parts += part
        if len(parts) > RESULT_BYTES_MAX:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            while await stream.read(65536):
                pass
            return None
    return bytes(parts)


async def _said(stream: asyncio.StreamReader | None, on_round: OnRound | None) -> str:
    """The last lines that a command says; rounds are told as they come."""
    tail = ""
    while stream is not None:
        try:
            line = await stream.readline()
        except ValueError:  # a longer line, which is left out
            continue
        if not line:
            break
        tail = (tail + line.decode(errors="replace"))[-SAID_CHARS_MAX:]
        if on_round is not None and (found := _ROUND.search(line)):
            await on_round(*[int(number.replace(b",", b"")) for number in found.groups()])
    return tail


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Interrupt a command, which stops when its round is committed; kill it if it does not."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            process.send_signal(number)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S_MAX):
                await process.wait()
                return


def _result(output: bytes | None, said: str, is_stopped: bool) -> CommandResult:
    if output is None:
        return CommandResult(error=f"the result takes more than {RESULT_BYTES_MAX:,} bytes: ask for less of it")
    try:
        value = json.loads(output)
    except ValueError:
        if is_stopped:
            return CommandResult(error="its time was over before it had a result", is_stopped=True)
        return CommandResult(error=visible(said.strip(), lines=True) or "the command has ended without a result")
    if isinstance(value, dict) and value.get("status") == "error":
        return CommandResult(error=_error_text(value.get("error") or {}))
    if isinstance(value, dict) and value.get("status") == "interrupted":  # before there was anything to tell
        return CommandResult(error="its time was over before it had a result", is_stopped=is_stopped)
    return CommandResult(value, is_stopped=is_stopped)


def _error_text(error: dict[str, Any]) -> str:
    """The words of an error: all problems of a world, or where, what, and what to do."""
    problems = error.get("problems") or [error]
    lines = []
    for problem in problems:
        where = f"{problem['where']}: " if problem.get("where") else ""
        lines.append(f"{where}{problem.get('message')}")
        lines += [f"  {problem['hint']}"] if problem.get("hint") else []
    return "\n".join(lines)[:SAID_CHARS_MAX]
