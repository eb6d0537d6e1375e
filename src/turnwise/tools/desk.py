"""The desk: where calls of tools are handed to their servers, each of which has a process of its own.

A server that ends is started again when it is called next, a bounded number of times in a row. Each time its list is
taken anew, and shown to who keeps the desk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from turnwise.core.envelope import error_reply
from turnwise.core.json_text import decode
from turnwise.errors import TurnwiseError
from turnwise.tools.child import ToolChild
from turnwise.tools.protocol import ToolList
from turnwise.tools.secrets import Secrets
from turnwise.tools.server_settings import ServerSettings
from turnwise.tools.spec import ToolSpec

RESTARTS_MAX: Final = 5
"""Times that a server is started again without a call that it has answered since."""

OnListed = Callable[[str, tuple[ToolSpec, ...]], None]
"""Told a server's name, and its tools in order of name, whenever they are listed after the first time."""


class ToolDesk:
    """Servers of tools, started together and closed together."""

    def __init__(self, servers: Sequence[ServerSettings], on_listed: OnListed | None = None) -> None:
        self.on_listed = on_listed
        self.notices: list[str] = []
        self._servers = {settings.name: _SupervisedServer(settings, self._listed, self.notices) for settings in servers}

    def _listed(self, name: str, specs: tuple[ToolSpec, ...]) -> None:
        if self.on_listed is not None:
            self.on_listed(name, specs)

    async def start(self) -> dict[str, tuple[ToolSpec, ...]]:
        """Start all servers; return the tools of each, in order of name. Raises `TurnwiseError` for one that fails."""
        listed = await asyncio.gather(*[server.start() for server in self._servers.values()], return_exceptions=True)
        for result in listed:
            if isinstance(result, BaseException):
                await self.close()
                raise result
        return {name: specs for name, specs in zip(self._servers, listed, strict=True) if isinstance(specs, tuple)}

    def slot(self, server: str) -> asyncio.Semaphore:
        """Return what a call holds while it runs: there are `calls_at_once` of them."""
        return self._servers[server].slots

    async def call(self, server: str, tool: str, args: str, answers: str | None = None, request: object = None) -> str:
        """Call a tool and return the outcome, canonical JSON text. `args` is JSON text of an object.

        `answers` is JSON text of the answers by their keys, and of the state, where the call goes on after questions.
        """
        return await self._servers[server].call(tool, decode(args), None if answers is None else decode(answers))

    def parks(self, request: object) -> bool | None:
        """Return None: the clock decides whether a turn parks with a call."""
        return None

    async def close(self) -> None:
        """End all servers. Twice does no harm."""
        await asyncio.gather(*[server.close() for server in self._servers.values()])


class _SupervisedServer:
    """One server, over all its processes."""

    def __init__(
        self, settings: ServerSettings, on_listed: Callable[[str, tuple[ToolSpec, ...]], None], notices: list[str]
    ) -> None:
        self._settings = settings
        self._on_listed = on_listed
        self._notices = notices
        self._secrets = Secrets(f"tools.{settings.name}")
        self._child: ToolChild | None = None
        self._starting = asyncio.Lock()
        self._restarts = 0
        self._closed = False
        self.slots = asyncio.Semaphore(settings.calls_at_once)

    async def start(self) -> tuple[ToolSpec, ...]:
        child = ToolChild(self._settings, self._secrets, self._changed, self._ended)
        self._child = child
        try:
            listed = await child.start()
        except BaseException:
            await child.close()
            self._child = None
            raise
        self._notices += [f"tools.{self._settings.name}: {line}" for line in listed.left_out]
        return self._specs(listed)

    def _specs(self, listed: ToolList) -> tuple[ToolSpec, ...]:
        return tuple(
            [
                ToolSpec(
                    tool.name,
                    self._secrets.masked(tool.description),
                    tool.input_schema,
                    tool.output_schema,
                    self._settings.is_idempotent(tool.name) or tool.pure,
                    tool.pure,
                )
                for tool in listed.tools
            ]
        )

    def _changed(self, listed: ToolList) -> None:
        self._on_listed(self._settings.name, self._specs(listed))

    def _ended(self, child: ToolChild) -> None:
        if self._child is child:
            self._child = None

    async def _alive(self) -> ToolChild:
        """Return the process, started again if it has ended. Raises `TurnwiseError` if that fails."""
        async with self._starting:
            if self._child is None or self._child.over:
                before, self._child = self._child, None
                if before is not None:
                    await before.close()
                self._restarts += 1
                self._on_listed(self._settings.name, await self.start())
            if self._child is None:
                raise RuntimeError("a server that was started is not there")
            return self._child

    async def call(self, tool: str, args: dict[str, Any], answers: Mapping[str, Any] | None) -> str:
        if self._closed:
            return error_reply("unavailable", "the run is being closed")
        if (self._child is None or self._child.over) and self._restarts >= RESTARTS_MAX:
            return error_reply("unavailable", f"the server has ended {RESTARTS_MAX + 1} times in a row")
        try:
            child = await self._alive()
        except TurnwiseError as error:
            return error_reply("unavailable", error.message)
        given = None if answers is None else answers["answers"]
        outcome = await child.call(tool, args, given, "" if answers is None else answers["state"])
        if not child.over:
            self._restarts = 0
        return outcome

    async def close(self) -> None:
        self._closed = True
        child, self._child = self._child, None
        if child is not None:
            await child.close()
