"""One connection to an MCP server, from the first word to its end.

The SDK's client is entered and left by one task, which is this connection's own: what breaks in it ends the connection
and nothing else. A connection ends once, and says why; who has it then has no server any more.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from mcp import Client, types
from mcp.client._transport import TransportStreams
from mcp.client.session import ClientSession, ElicitationFnT, IncomingMessage, SamplingFnT
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost, listen
from mcp.shared.exceptions import MCPError

from turnwise._version import __version__
from turnwise.tools.kinds.mcp.http import http_client
from turnwise.tools.kinds.mcp.oauth import SignedIn
from turnwise.tools.kinds.mcp.settings import McpSettings
from turnwise.tools.kinds.mcp.stdio import command_transport
from turnwise.tools.server import ToolUnavailableError

LISTENS_MAX: Final = 16
"""Times that a server is asked again to tell of changes, after it has stopped doing so."""

LISTEN_PAUSE_S_MAX: Final = 60
"""Seconds between two of these times."""

SAID_CHARS_MAX: Final = 500
"""Characters of what a server says of an error."""


class Connection:
    """A connection to a server. `sample` None: it is offered no model.

    `on_change`: its list of tools may be another; `on_lost`: it has ended by itself.
    """

    def __init__(
        self,
        settings: McpSettings,
        folder: Path,
        elicit: ElicitationFnT,
        sample: SamplingFnT | None,
        signed_in: SignedIn | None,
        *,
        on_change: Callable[[], None],
        on_lost: Callable[[], None],
        on_refused: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._elicit = elicit
        self._sample = sample
        self._signed_in = signed_in
        self._on_change = on_change
        self._on_lost = on_lost
        self._on_refused = on_refused
        self._faults: list[str] = []
        self._closing = asyncio.Event()
        self._ended = asyncio.Event()
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._over = False

    @property
    def session(self) -> ClientSession:
        """The open session. Raises `ToolUnavailableError` when the connection has ended."""
        if self._over or not self._ready.done():
            raise ToolUnavailableError(self.why_over())
        return self._ready.result().session

    @property
    def is_over(self) -> bool:
        """True when there is no connection, or none any more."""
        return self._over

    @property
    def is_stateless(self) -> bool:
        """True if each request stands alone (revision 2026-07-28 and later)."""
        return self.session.discover_result is not None

    def why_over(self) -> str:
        """Say why there is no connection."""
        return "; ".join(self._faults[-2:]) or "the server has closed the connection"

    async def open(self) -> None:
        """Connect, and agree on a revision. Raises `ToolUnavailableError`."""
        self._task = asyncio.create_task(self._live())
        await asyncio.wait((self._task, self._ready), return_when=asyncio.FIRST_COMPLETED)
        if not self._ready.done():
            raise ToolUnavailableError(self.why_over())

    async def close(self) -> None:
        """End it. Twice does no harm."""
        self._closing.set()
        if self._task is not None:
            if not self._ready.done():
                self._task.cancel()
            await asyncio.wait((self._task,))

    # -- the task ------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        try:
            client = Client(
                self._transport(),
                mode={"2025-11-25": "legacy"}.get(self._settings.revision, self._settings.revision),
                elicitation_callback=self._elicit,
                sampling_callback=self._sample,
                message_handler=self._take,
                client_info=types.Implementation(name="turnwise", version=__version__),
                cache=None,
            )
            async with client:
                self._ready.set_result(client)
                await self._until_end(client.session)
        except* ToolUnavailableError as group:
            self._faults.append(_first(group))
        except* Exception as group:  # whatever the SDK makes of what a server sends
            self._faults.append(_first(group)[:SAID_CHARS_MAX])
        finally:
            self._tell_lost()

    def _tell_lost(self) -> None:
        if not self._over:
            self._over = True
            if not self._closing.is_set():
                self._on_lost()

    def _transport(self) -> AbstractAsyncContextManager[TransportStreams]:
        settings = self._settings
        bytes_max = settings.message_kib_max * 1024
        if settings.command is not None:
            command = settings.command
            if "/" in command:
                command = str(self._folder / command)
            folder = None if settings.folder is None else self._folder / settings.folder
            return command_transport(command, settings.args, folder, bytes_max, self._faults, self._ended)
        return self._http_transport(settings.url or "", bytes_max)

    @asynccontextmanager
    async def _http_transport(self, url: str, bytes_max: int) -> AsyncIterator[TransportStreams]:
        settings = self._settings
        networks = [ipaddress.ip_network(text) for text in settings.networks]
        certificates = None if settings.certificates is None else self._folder / settings.certificates
        try:
            client = http_client(
                dict(settings.headers), networks, certificates, bytes_max, self._refused, self._signed_in
            )
        except OSError as error:
            raise ToolUnavailableError(f"certificates cannot be read: {error}") from error
        async with client, streamable_http_client(url, http_client=client, max_sse_event_size=bytes_max) as streams:
            yield streams

    def _refused(self, message: str) -> None:
        if not self._ready.done():
            self._faults.append(message)
        self._on_refused(message)

    async def _until_end(self, session: ClientSession) -> None:
        """Wait for the end: ours, or that of the server's output."""
        waits = [asyncio.create_task(event.wait()) for event in (self._closing, self._ended)]
        listening = asyncio.create_task(self._listen(session))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            self._tell_lost()  # before the rest is ended, which may take a while
        finally:
            for task in (*waits, listening):
                task.cancel()
            await asyncio.gather(*waits, listening, return_exceptions=True)

    def lose(self, why: str) -> None:
        """End it, since the server does not know it any more."""
        self._faults.append(why[:SAID_CHARS_MAX])
        self._ended.set()

    # -- changes -------------------------------------------------------------------------------------------------

    async def _take(self, message: IncomingMessage) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._on_change()

    async def _listen(self, session: ClientSession) -> None:
        """Have a stateless server tell of changes, as long as it does; others tell by themselves."""
        capabilities = session.server_capabilities
        tools = None if capabilities is None else capabilities.tools
        if session.discover_result is None or tools is None or not tools.list_changed:
            return
        for attempt in range(LISTENS_MAX):
            try:
                async with listen(session, tools_list_changed=True) as subscription:
                    if attempt:
                        self._on_change()  # what has changed meanwhile, nobody told
                    async for _event in subscription:
                        self._on_change()
            except SubscriptionLost:
                pass
            except MCPError:  # it does not offer this, whatever it declares
                return
            await asyncio.sleep(min(2**attempt, LISTEN_PAUSE_S_MAX))


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    """The words of the first exception in a group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ToolUnavailableError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
