"""The transport to a server that is a command: messages by its standard input and output, a line each.

The SDK has one, too, but hands on variables of the environment that nobody listed, and takes lines of any length. This
one gives the command the environment of this process, which is what the world lists, and bounds what it writes. What it
writes to standard error goes to that of this process. The command stays in the process group of this process: who ends
the one ends the other.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCResponse, jsonrpc_message_adapter

from turnwise.tools.server import ToolUnavailableError

CLOSE_S_MAX: Final = 1.0
"""Seconds in which a server ends by itself when its input has ended, and then by the signal to end."""

GARBAGE_LINES_MAX: Final = 1_000
"""Lines that are no messages, before a server is given up."""

UNASKED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes that a server writes without answering anything, before it is given up."""


@asynccontextmanager
async def command_transport(
    command: str,
    args: tuple[str, ...],
    folder: Path | None,
    message_bytes_max: int,
    faults: list[str],
    ended: asyncio.Event,
) -> AsyncIterator[TransportStreams]:
    """Start a server, and yield the streams of its messages.

    `ended` is set when there are no more, and `faults` is told why, if they were given up.
    Raises `ToolUnavailableError` if it cannot be started.
    """
    process = await _started(command, args, folder, message_bytes_max)
    incoming, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
    reading = asyncio.ensure_future(_read(process, incoming, message_bytes_max, faults))
    reading.add_done_callback(lambda _task: ended.set())
    tasks = [reading, asyncio.ensure_future(_write(process, outgoing))]
    try:
        yield read, write
    finally:
        await _end(process)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in (incoming, read, write, outgoing):
            stream.close()


async def _started(
    command: str, args: tuple[str, ...], folder: Path | None, message_bytes_max: int
) -> asyncio.subprocess.Process:
    path = os.environ.get("PATH")
    program = shutil.which(command, path=path or os.defpath)
    if program is None:
        where = "a list of usual folders: its environment has no PATH" if path is None else "its PATH"
        raise ToolUnavailableError(
            f"there is no program {command!r} in {where}. Write its whole path, or list the folder: "
            'environment = { PATH = "/usr/local/bin:/usr/bin:/bin" }'
        )
    try:
        return await asyncio.create_subprocess_exec(
            program,
            *args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=2,
            cwd=folder,
            env=dict(os.environ),
            limit=message_bytes_max,
        )
    except (OSError, ValueError) as error:
        raise ToolUnavailableError(f"{command!r} cannot be started: {error}") from error


async def _read(
    process: asyncio.subprocess.Process,
    incoming: MemoryObjectSendStream[SessionMessage | Exception],
    message_bytes_max: int,
    faults: list[str],
) -> None:
    """Hand on messages until the output ends, or breaks a bound; then the connection is over."""
    output = process.stdout
    garbage = unasked = 0
    with incoming, suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        while output is not None:
            try:
                line = await output.readline()
            except ValueError:
                faults.append(f"it wrote a message of more than {message_bytes_max:,} bytes (message_kib_max)")
                return
            if not line:
                return
            unasked += len(line)
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValueError:
                garbage += bool(line.strip())
                if garbage > GARBAGE_LINES_MAX:
                    faults.append(f"more than {GARBAGE_LINES_MAX:,} lines of its output are no messages")
                    return
                continue
            if isinstance(message, JSONRPCResponse | JSONRPCError):
                unasked = 0
            if unasked > UNASKED_BYTES_MAX:
                faults.append(f"it wrote more than {UNASKED_BYTES_MAX:,} bytes without answering anything")
                return
            await incoming.send(SessionMessage(message))


async def _write(process: asyncio.subprocess.Process, outgoing: MemoryObjectReceiveStream[SessionMessage]) -> None:
    with outgoing, suppress(ConnectionError, anyio.ClosedResourceError):
        async for session_message in outgoing:
            if process.stdin is None:
                return
            json = session_message.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(json.encode() + b"\n")
            await process.stdin.drain()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the server: by the end of its input, then by a request, then by force."""
    if process.stdin is not None:
        process.stdin.close()
    for end in (None, process.terminate, process.kill):
        if end is not None:
            with suppress(ProcessLookupError):
                end()
        if await _has_ended(process):
            break
    transport: asyncio.BaseTransport | None = getattr(process, "_transport", None)
    if transport is not None:  # also where a program that it has started holds on to its output
        transport.close()


async def _has_ended(process: asyncio.subprocess.Process) -> bool:
    """Wait for the process itself: `Process.wait` waits for the end of its output, too, which others may hold."""
    loop = asyncio.get_running_loop()
    until = loop.time() + CLOSE_S_MAX
    while process.returncode is None and loop.time() < until:
        await asyncio.sleep(0.01)
    return process.returncode is not None
