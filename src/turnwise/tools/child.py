"""The orchestrator's end of one process of a tool server: it starts it, speaks with it, and ends it.

The process has a guard as its parent (`turnwise.tools.guard`), an environment of what the world lists alone, and a
working folder of its own that is removed with it. What it sends is taken as it comes, without a task of its own: each
step through the event loop would be a good part of what a call costs.
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
    LIST_BYTES_MAX,
    CallTool,
    CancelCall,
    Frames,
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

_STDOUT: Final = 1
_STDERR: Final = 2

_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from turnwise.tools.guard import main; sys.exit(main())"
)


class ToolChild(asyncio.SubprocessProtocol):
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
        self._loop = loop = asyncio.get_running_loop()
        self._process: asyncio.SubprocessTransport | None = None
        self._life: int | None = None
        self._folder: str | None = None
        self._tail = bytearray()
        self._frames = Frames(max(LIST_BYTES_MAX, settings.reply_bytes_max) + _SPACE_BYTES)
        self._ending: asyncio.Task[None] | None = None
        self._exited: asyncio.Future[None] = loop.create_future()
        self._lost: asyncio.Future[None] = loop.create_future()
        self._silent: asyncio.Future[None] = loop.create_future()
        self._ready: asyncio.Future[ToolList] = loop.create_future()
        self._calls: dict[int, asyncio.Future[str | None]] = {}
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
            self._process, _ = await self._loop.subprocess_exec(
                lambda: self,
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
        pipe = None if self._process is None else self._process.get_pipe_transport(0)
        if isinstance(pipe, asyncio.WriteTransport) and not self.over:
            with suppress(ConnectionError, RuntimeError):
                pipe.write(frame(message))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take what the server sends, until it breaks the rules, and the end of what it prints."""
        if fd == _STDERR:
            self._tail += data
            del self._tail[:-STDERR_TAIL_BYTES_MAX]
            return
        if self._broken is not None:
            return
        try:
            for body in self._frames.feed(data):
                self._take(from_server(body))
        except NoMessageError as error:
            self._broken = f"it sent what is no message: {error}"
            self._end_life()

    def pipe_connection_lost(self, fd: int, _error: Exception | None) -> None:
        """Take note that the server says no more."""
        if fd == _STDERR and not self._silent.done():
            self._silent.set_result(None)
        elif fd == _STDOUT and self._ending is None:
            self._ending = asyncio.ensure_future(self._ended())

    def process_exited(self) -> None:
        """Take note that its guard has ended, and with it all that it has started."""
        if not self._exited.done():
            self._exited.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        """Take note that nothing of the process is left, its pipes included."""
        if not self._lost.done():
            self._lost.set_result(None)

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
        await asyncio.wait([self._exited])
        await asyncio.wait([self._silent], timeout=CLOSE_S_MAX)
        code = None if self._process is None else self._process.get_returncode()
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
        future: asyncio.Future[str | None] = self._loop.create_future()
        self._calls[id_] = future
        timer = self._loop.call_later(self._settings.seconds_max, _give_up, future)
        try:
            self._send(CallTool(id_, tool, args, answers, state))
            if self.over:
                return error_reply("unavailable", "the server has ended")
            outcome = await future
            if outcome is not None:
                return outcome
            await self._cancel(id_)
            seconds = f"{self._settings.seconds_max:g} s (seconds_max of tools.{self._settings.name})"
            return error_reply("unavailable", f"there was no answer within {seconds}")
        except asyncio.CancelledError:
            self._send(CancelCall(id_))
            raise
        finally:
            timer.cancel()
            self._calls.pop(id_, None)

    async def _cancel(self, id_: int) -> None:
        """Cancel a call; end a server that does not answer even then, since it is stuck."""
        future = self._calls[id_] = self._loop.create_future()
        self._send(CancelCall(id_))
        await asyncio.wait([future], timeout=CANCEL_S_MAX)
        if not future.done():
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
            if (pipe := process.get_pipe_transport(0)) is not None:
                pipe.close()
            await asyncio.wait([self._exited], timeout=CLOSE_S_MAX)
            self._end_life()
            await asyncio.wait([self._exited], timeout=START_S_MAX)
            if not self._exited.done():  # a guard that the system does not let run
                with suppress(ProcessLookupError):
                    os.killpg(process.get_pid(), signal.SIGKILL)
                await asyncio.wait([self._exited])
            process.close()
            await asyncio.wait([self._lost])
        self._end_life()
        if self._ending is not None:
            await self._ending
        if not self._ready.done():
            self._ready.cancel()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _give_up(future: asyncio.Future[str | None]) -> None:
    """Have who waits for a call wait no longer."""
    if not future.done():
        future.set_result(None)
