"""The orchestrator's end of one process of a tool server: it starts it, speaks with it, and ends it.

The process has a guard as its parent (`turnwise.tools.guard`), an environment of what the world lists alone, and a
working folder of its own that is removed with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from turnwise.core.envelope import error_reply
from turnwise.errors import EnvironmentFailure
from turnwise.system.user_folders import cache_folder
from turnwise.tools.outcome import outcome_of
from turnwise.tools.protocol import (
    LENGTH,
    LIST_BYTES_MAX,
    CallTool,
    CancelCall,
    FromServer,
    NoMessageError,
    ServerFailed,
    StartServer,
    ToolList,
    ToServer,
    frame,
    from_server,
)
from turnwise.tools.secrets import Secrets
from turnwise.tools.server_settings import ServerSettings

START_S_MAX: Final = 60.0
"""Seconds in which a server is ready and has listed its tools."""

CANCEL_S_MAX: Final = 2.0
"""Seconds in which a call that was cancelled is answered, before its server is ended."""

CLOSE_S_MAX: Final = 2.0
"""Seconds in which a server closes by itself before it is ended."""

STDERR_TAIL_BYTES_MAX: Final = 16 * 1024

_SPACE_BYTES: Final = 64 * 1024
"""Bytes of a message beside the result in it."""

_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from turnwise.tools.guard import main; sys.exit(main())"
)


class ToolChild:
    """A running server. `on_listed` is told each list of its tools, `on_end` that it has ended."""

    def __init__(
        self,
        settings: ServerSettings,
        secrets: Secrets,
        on_listed: Callable[[ToolList], None],
        on_end: Callable[[ToolChild], None],
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._on_listed = on_listed
        self._on_end = on_end
        self._process: asyncio.subprocess.Process | None = None
        self._life: int | None = None
        self._folder: str | None = None
        self._tail = bytearray()
        self._tasks: list[asyncio.Task[None]] = []
        self._ready: asyncio.Future[ToolList] = asyncio.get_running_loop().create_future()
        self._calls: dict[int, asyncio.Future[str]] = {}
        self._id_next = 0
        self._broken: str | None = None
        self.over = False

    async def start(self) -> ToolList:
        """Start it; return its first list. Raises `EnvironmentFailure` if it does not come up; then close it."""
        settings = self._secrets.resolved(dict(self._settings.settings))
        environment = {name: str(self._secrets.resolved(value)) for name, value in self._settings.environment.items()}
        if self._settings.kind == "wasm":  # what it compiles is kept where agents' code is
            environment["TURNWISE_CACHE"] = str(cache_folder())
        try:
            await self._launch(environment)
        except OSError as error:
            raise self._failure(f"its process cannot be started: {error}") from error
        start = StartServer(self._settings.kind, settings, str(self._settings.folder), self._settings.reply_bytes_max)
        self._send(start)
        try:
            async with asyncio.timeout(START_S_MAX):
                return await asyncio.shield(self._ready)
        except TimeoutError:
            raise self._failure(f"it was not ready within {START_S_MAX:.0f} s") from None

    async def _launch(self, environment: Mapping[str, str]) -> None:
        self._folder = tempfile.mkdtemp(prefix="turnwise-tool-")
        reading, self._life = os.pipe()
        try:
            path = json.dumps([entry for entry in sys.path if entry])
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-X", "utf8", "-c", _BOOT, path, str(reading)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=dict(environment),
                cwd=self._folder,
                start_new_session=True,
                pass_fds=(reading,),
            )
        finally:
            os.close(reading)
        self._tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._keep_tail())]

    def _failure(self, message: str) -> EnvironmentFailure:
        tail = self._secrets.masked(self._tail.decode(errors="replace")).strip()
        last = f" It last said: {tail[-2_000:]}" if tail else ""
        return EnvironmentFailure(
            f"the tool server {self._settings.name} cannot be used: {self._secrets.masked(message)}.{last}",
            where=f"tools.{self._settings.name}",
            hint="Try it by itself: turnwise tools WORLD. What the kinds of servers need: docs/tools.md.",
        )

    # -- messages ------------------------------------------------------------------------------------------------

    def _send(self, message: ToServer) -> None:
        if self._process is not None and self._process.stdin is not None and not self.over:
            with suppress(ConnectionError, RuntimeError):
                self._process.stdin.write(frame(message))

    async def _keep_tail(self) -> None:
        stream = None if self._process is None else self._process.stderr
        while stream is not None and (data := await stream.read(4096)):
            self._tail += data
            del self._tail[:-STDERR_TAIL_BYTES_MAX]

    async def _read(self) -> None:
        """Take what the server sends, until it ends or breaks the rules."""
        stream = None if self._process is None else self._process.stdout
        bytes_max = max(LIST_BYTES_MAX, self._settings.reply_bytes_max) + _SPACE_BYTES
        try:
            while stream is not None:
                (size,) = LENGTH.unpack(await stream.readexactly(LENGTH.size))
                if size > bytes_max:
                    self._broken = f"it sent a message of {size:,} bytes, and at most {bytes_max:,} are taken"
                    break
                self._take(from_server(await stream.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except NoMessageError as error:
            self._broken = f"it sent what is no message: {error}"
        await self._ended()

    def _take(self, message: FromServer) -> None:
        match message:
            case ToolList():
                if self._ready.done():
                    self._on_listed(message)
                else:
                    self._ready.set_result(message)
            case ServerFailed(text):
                if self._ready.done():
                    self._broken = text
                    self._end_life()
                else:
                    self._ready.set_exception(self._failure(text))
            case _:
                future = self._calls.get(message.id)
                if future is not None and not future.done():
                    future.set_result(outcome_of(message, self._secrets, self._settings.reply_bytes_max))

    async def _ended(self) -> None:
        """Tell everybody that waits that the server is gone."""
        self._end_life()
        if self._process is not None:
            await self._process.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._tasks[1]), CLOSE_S_MAX)
        code = None if self._process is None else self._process.returncode
        said = self._broken or f"its process has ended with status {code}"
        if not self._ready.done():
            self._ready.set_exception(self._failure(said))
            self._ready.exception()  # nobody may wait for it any more
        for future in self._calls.values():
            if not future.done():
                message = f"the server ended during the call ({self._secrets.masked(said)})"
                future.set_result(error_reply("unknown", message))
        self._on_end(self)

    # -- calls ---------------------------------------------------------------------------------------------------

    async def call(self, tool: str, args: dict[str, Any], answers: dict[str, Any] | None, state: str) -> str:
        """Call a tool; return the outcome. Cancelling this cancels the call."""
        self._id_next += 1
        id_ = self._id_next
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._calls[id_] = future
        try:
            self._send(CallTool(id_, tool, args, answers, state))
            if self.over:
                return error_reply("unavailable", "the server has ended")
            async with asyncio.timeout(self._settings.seconds_max):
                return await asyncio.shield(future)
        except TimeoutError:
            await self._cancel(id_, future)
            seconds = f"{self._settings.seconds_max:g} s (seconds_max of tools.{self._settings.name})"
            return error_reply("unavailable", f"there was no answer within {seconds}")
        except asyncio.CancelledError:
            self._send(CancelCall(id_))
            raise
        finally:
            self._calls.pop(id_, None)

    async def _cancel(self, id_: int, future: asyncio.Future[str]) -> None:
        """Cancel a call; end a server that does not answer even then, since it is stuck."""
        self._send(CancelCall(id_))
        try:
            async with asyncio.timeout(CANCEL_S_MAX):
                await asyncio.shield(future)
        except TimeoutError:
            self._broken = "it was ended, since it did not let go of a call that took too long"
            self._end_life()

    # -- the end -------------------------------------------------------------------------------------------------

    def _end_life(self) -> None:
        """Have the guard end it, and all that it has started, at once. It is called no more."""
        self.over = True
        if self._life is not None:
            os.close(self._life)
            self._life = None

    async def close(self) -> None:
        """Have it close, then end it. Twice does no harm."""
        process = self._process
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(process.wait()), CLOSE_S_MAX)
            self._end_life()
            try:
                await asyncio.wait_for(asyncio.shield(process.wait()), START_S_MAX)
            except TimeoutError:  # a guard that the system does not let run
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        self._end_life()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._ready.done():
            self._ready.cancel()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
