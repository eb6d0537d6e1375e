"""The process of one tool server: it makes the server, lists its tools, and calls them as the orchestrator asks.

Messages come and go by what were standard input and output; what a tool prints goes to standard error, so that it
cannot be taken for a message. Messages are read on a thread of their own: all else is one event loop.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from turnwise.tools.checks import ToolChecks
from turnwise.tools.protocol import (
    LENGTH,
    LIST_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    TEXT_CHARS_MAX,
    CallRefused,
    CallTool,
    CancelCall,
    FromServer,
    ListedTool,
    ServerFailed,
    ServerQuestion,
    ServerQuestions,
    ServerSample,
    ServerSamples,
    StartServer,
    ToolAnswered,
    ToolList,
    ToServer,
    frame,
    to_server,
)
from turnwise.tools.server import (
    ToolAnswers,
    ToolQuestions,
    ToolResult,
    ToolSamples,
    ToolServer,
    ToolUnavailableError,
)
from turnwise.tools.spec import DESCRIPTION_CHARS_MAX, SCHEMA_BYTES_MAX, TOOL_NAME, TOOLS_MAX, ToolSpec

LEFT_OUT_MAX: Final = 32
"""Lines about tools that are left out of a list."""


def main() -> int:
    """Serve until there is nobody to serve. Return the exit status."""
    reading, writing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    try:
        asyncio.run(_Served(reading, writing).serve())
    finally:
        os._exit(0)  # whatever a tool has left running


class _Served:
    """A server and the calls of it."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = reading
        self._writing = writing
        self._server: ToolServer | None = None
        self._result_bytes_max = 0
        self._checks: dict[str, ToolChecks] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        messages: asyncio.Queue[ToServer | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def read() -> None:
            while (message := self._read()) is not None:
                loop.call_soon_threadsafe(messages.put_nowait, message)
            loop.call_soon_threadsafe(messages.put_nowait, None)

        threading.Thread(target=read, name="turnwise-tool-messages", daemon=True).start()
        while (message := await messages.get()) is not None:
            match message:
                case StartServer():
                    await self._start(message)
                case CallTool():
                    self._calls[message.id] = asyncio.ensure_future(self._call(message))
                case CancelCall(id):
                    if (task := self._calls.get(id)) is not None:
                        task.cancel()
        for task in (*self._calls.values(), *self._others):
            task.cancel()
        if self._server is not None:
            await self._server.close()

    def _read(self) -> ToServer | None:
        header = self._read_exactly(LENGTH.size)
        if header is None:
            return None
        (size,) = LENGTH.unpack(header)
        body = None if size > MESSAGE_BYTES_MAX else self._read_exactly(size)
        return None if body is None else to_server(body)

    def _read_exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            part = os.read(self._reading, size - len(parts))
            if not part:
                return None
            parts += part
        return bytes(parts)

    def _write(self, message: FromServer) -> None:
        rest = memoryview(frame(message))
        while rest:
            rest = rest[os.write(self._writing, rest) :]

    # -- the list ------------------------------------------------------------------------------------------------

    async def _start(self, start: StartServer) -> None:
        self._result_bytes_max = start.result_bytes_max
        try:
            kind = importlib.import_module(f"turnwise.tools.kinds.{start.kind}")
            self._server = server = kind.server(start.settings, Path(start.folder))
            server.on_change = self._changed
            await server.start()
            await self._list(server)
        except ToolUnavailableError as error:
            self._write(ServerFailed(str(error)[:TEXT_CHARS_MAX]))
        except Exception as error:  # whatever a server's own code raises
            self._write(ServerFailed(_said(error)))

    def _changed(self) -> None:
        """List the tools again: the server says that they are others."""
        if self._server is not None:
            task = asyncio.ensure_future(self._list_again(self._server))
            self._others.add(task)
            task.add_done_callback(self._others.discard)

    async def _list_again(self, server: ToolServer) -> None:
        try:
            await self._list(server)
        except Exception as error:
            self._write(ServerFailed(_said(error)))

    async def _list(self, server: ToolServer) -> None:
        tools, checks, left_out = _usable(await server.tools())
        self._checks = checks
        listed = ToolList(tools, left_out)
        size = len(frame(listed))
        if size > LIST_BYTES_MAX:
            self._write(
                ServerFailed(f"its list of tools takes {size:,} bytes, and at most {LIST_BYTES_MAX:,} are taken")
            )
        else:
            self._write(listed)

    # -- calls ---------------------------------------------------------------------------------------------------

    async def _call(self, call: CallTool) -> None:
        try:
            answer = await self._answer(call)
        except asyncio.CancelledError:
            answer = CallRefused(call.id, "unavailable", "the call was cancelled")
        except ToolUnavailableError as error:
            answer = CallRefused(call.id, "unavailable", str(error)[:TEXT_CHARS_MAX])
        except Exception as error:  # whatever a tool's own code raises
            answer = CallRefused(call.id, "tool", _said(error))
        self._calls.pop(call.id, None)
        try:
            self._write(answer)
        except UnicodeEncodeError as error:
            self._write(CallRefused(call.id, "tool", f"its result is no text: {error}"))

    async def _answer(self, call: CallTool) -> FromServer:
        checks = self._checks.get(call.tool)
        if self._server is None or checks is None:
            return CallRefused(call.id, "unknown_tool", f"the server has no tool {call.tool!r} any more")
        problem = checks.args_problem(call.args)
        if problem is not None:
            return CallRefused(call.id, "invalid", problem)
        answers = None if call.answers is None else ToolAnswers(call.answers, call.state)
        result = await self._server.call(call.tool, call.args, answers)
        if isinstance(result, ToolQuestions):
            questions = [ServerQuestion(one.key, one.text, one.schema) for one in result.questions]
            return self._fitting(call, ServerQuestions(call.id, questions, result.state))
        if isinstance(result, ToolSamples):
            samples = [ServerSample(one.key, dict(one.request), list(one.hints)) for one in result.samples]
            return self._fitting(call, ServerSamples(call.id, samples, result.state))
        if result.is_error:
            return self._fitting(call, CallRefused(call.id, "tool", result.text))
        return self._checked(call, checks, result)

    def _checked(self, call: CallTool, checks: ToolChecks, result: ToolResult) -> FromServer:
        problem = checks.result_problem(result)
        if problem is not None:
            return CallRefused(call.id, "tool", f"its result cannot be used: {problem}")
        data = json.dumps(result.data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(data.encode()) + len(json.dumps(result.text, ensure_ascii=False).encode())
        if size > self._result_bytes_max:
            return self._too_large(call, size)
        return ToolAnswered(call.id, result.text, msgspec.Raw(data.encode()))

    def _fitting(self, call: CallTool, answer: FromServer) -> FromServer:
        size = len(frame(answer))
        return answer if size <= self._result_bytes_max else self._too_large(call, size)

    def _too_large(self, call: CallTool, size: int) -> CallRefused:
        message = f"its result takes {size:,} bytes, and at most {self._result_bytes_max:,} are taken (reply_kib)"
        return CallRefused(call.id, "tool", message)


def _usable(specs: Sequence[ToolSpec]) -> tuple[list[ListedTool], dict[str, ToolChecks], list[str]]:
    """Return the tools of a list that can be used, in order of name, with their checks, and why others cannot."""
    tools: dict[str, ListedTool] = {}
    checks: dict[str, ToolChecks] = {}
    left_out: list[str] = []
    twice = set()
    for spec in specs:
        problem = _spec_problem(spec)
        if problem is None and spec.name in tools:
            twice.add(spec.name)
            problem = "its name is there twice"
        if problem is None:
            try:
                checks[spec.name] = ToolChecks(spec)
            except ValueError as error:
                problem = f"a schema of it is none: {error}"
        if problem is None and len(tools) >= TOOLS_MAX:
            problem = f"at most {TOOLS_MAX} tools of a server are taken"
        if problem is None:
            tools[spec.name] = ListedTool(spec.name, spec.description, spec.input_schema, spec.output_schema, spec.pure)
        elif len(left_out) < LEFT_OUT_MAX:
            left_out.append(f"{spec.name[:100]!r} is left out: {problem}"[:TEXT_CHARS_MAX])
    for name in twice:  # neither is what is meant
        tools.pop(name, None)
        checks.pop(name, None)
    return [tools[name] for name in sorted(tools)], checks, left_out


def _spec_problem(spec: ToolSpec) -> str | None:
    if not TOOL_NAME.fullmatch(spec.name):
        return f"a name is made of {TOOL_NAME.pattern}"
    if len(spec.description) > DESCRIPTION_CHARS_MAX:
        return (
            f"its description has {len(spec.description):,} characters, and at most {DESCRIPTION_CHARS_MAX:,} are taken"
        )
    for what, schema in (("input", spec.input_schema), ("output", spec.output_schema)):
        try:
            size = 0 if schema is None else len(json.dumps(schema, allow_nan=False).encode())
        except (TypeError, ValueError, RecursionError):
            return f"its {what} schema is no JSON"
        if size > SCHEMA_BYTES_MAX:
            return f"its {what} schema takes {size:,} bytes, and at most {SCHEMA_BYTES_MAX:,} are taken"
    return None


def _said(error: BaseException) -> str:
    text = str(error)
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:TEXT_CHARS_MAX]
