"""An MCP server as a server of tools: its list, and calls with the questions in the middle of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mcp import types
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError
from pydantic import TypeAdapter, ValidationError

from turnwise.tools.kinds.mcp.call_state import QUESTIONS_MAX, CallState
from turnwise.tools.kinds.mcp.connection import SAID_CHARS_MAX, Connection
from turnwise.tools.kinds.mcp.elicitation import ElicitationError, question_of
from turnwise.tools.kinds.mcp.oauth import SignedIn
from turnwise.tools.kinds.mcp.open_calls import CURRENT, OpenCall, OpenCalls
from turnwise.tools.kinds.mcp.results import result_of
from turnwise.tools.kinds.mcp.sampling import SamplingError
from turnwise.tools.kinds.mcp.settings import McpSettings
from turnwise.tools.server import ToolAnswers, ToolOutcome, ToolQuestions, ToolResult, ToolUnavailableError
from turnwise.tools.spec import ToolSpec

PAGES_MAX: Final = 64
"""Pages of a list of tools."""

TOOLS_LISTED_MAX: Final = 1_024
"""Tools that a list has before it is given up."""

POLLS_MAX: Final = 10_000
"""Times that a server asks to be called again later, without asking anybody anything."""

POLL_S_MAX: Final = 1.0
"""Seconds between two of these times."""

KEEPER_S_MAX: Final = 1.0
"""Seconds in which who keeps a server can end it when its command has ended: then calls end with it, as lost."""

CHANGE_S_MIN: Final = 1.0
"""Seconds between two times that the list is taken again."""

_RESULT: Final[TypeAdapter[types.CallToolResult | types.InputRequiredResult]] = TypeAdapter(
    types.CallToolResult | types.InputRequiredResult
)
"""Forms of the answer to a call.

`ClientSession.call_tool` would check results against schemas as well, and where a tool was not listed, list first: by
then it has been called, and its result would be lost with a list that fails.
"""

_GONE: Final = (types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT)
_SESSION_GONE: Final = "Session terminated"
"""The SDK's words for a server that does not know the session any more."""

_BROKEN: Final = (types.CONNECTION_CLOSED, types.PARSE_ERROR)
_NO_ANSWER: Final = ("Server returned an error response", "Not Found")
"""The SDK's words for an answer of HTTP that is none of the protocol."""


class McpServer:
    """A server of tools that speaks the Model Context Protocol."""

    on_change: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, settings: McpSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._open = OpenCalls(0 if settings.sampling is None else settings.sampling.requests_max)
        self._signed_in = (
            None if settings.oauth is None or settings.url is None else SignedIn(settings.oauth, settings.url)
        )
        self._connection: Connection | None = None
        self._change: asyncio.TimerHandle | None = None
        self._changed_at = float("-inf")

    async def start(self) -> None:
        """Connect. Raises `ToolUnavailableError`."""
        self._connection = Connection(
            self._settings,
            self._folder,
            self._open.elicit,
            None if self._settings.sampling is None else self._open.sample,
            self._signed_in,
            on_change=self._changed,
            on_lost=self._lost,
            on_refused=_note,
        )
        await self._connection.open()

    async def close(self) -> None:
        """End calls, the connection, and the command."""
        if self._change is not None:
            self._change.cancel()
        await self._open.close()
        if self._connection is not None:
            await self._connection.close()

    # -- the list ------------------------------------------------------------------------------------------------

    async def tools(self) -> Sequence[ToolSpec]:
        """List its tools, over all pages. Raises `ToolUnavailableError`."""
        connection = self._alive()
        try:
            listed = await self._listed(connection)
        except (MCPError, ValidationError, RuntimeError) as error:
            raise ToolUnavailableError(f"its tools cannot be listed: {_said(error)}") from error
        return [_spec_of(tool, self._signed_in) for tool in listed]

    async def _listed(self, connection: Connection) -> list[types.Tool]:
        listed: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            params = None if cursor is None else types.PaginatedRequestParams(cursor=cursor)
            page = await connection.session.list_tools(params=params)
            listed += page.tools
            if len(listed) > TOOLS_LISTED_MAX:
                raise ToolUnavailableError(f"it lists more than {TOOLS_LISTED_MAX:,} tools")
            cursor = page.next_cursor
            if cursor is None:
                return listed
        raise ToolUnavailableError(f"its list of tools has more than {PAGES_MAX} pages")

    def _changed(self) -> None:
        """Have the list taken again, at most once in a while."""
        loop = asyncio.get_running_loop()
        if self._change is None:
            wait = max(0.0, self._changed_at + CHANGE_S_MIN - loop.time())
            self._change = loop.call_later(wait, self._change_now)

    def _change_now(self) -> None:
        self._change = None
        self._changed_at = asyncio.get_running_loop().time()
        self.on_change()

    def _lost(self) -> None:
        """Have the list taken again, which fails, and says so to who keeps this server."""
        self.on_change()

    # -- calls ---------------------------------------------------------------------------------------------------

    async def call(self, name: str, args: Mapping[str, Any], answers: ToolAnswers | None = None) -> ToolOutcome:
        """Call a tool, or go on with a call. Raises `ToolUnavailableError`."""
        if self._signed_in is None:
            return await self._call(name, args, answers)
        try:
            return self._signed_in.masked_outcome(await self._call(name, args, answers))
        except ToolUnavailableError as error:
            raise ToolUnavailableError(self._signed_in.masked(str(error))) from error

    async def _call(self, name: str, args: Mapping[str, Any], answers: ToolAnswers | None) -> ToolOutcome:
        connection = self._alive()
        try:
            if not connection.is_stateless:
                return await self._call_open(connection, name, args, answers)
            return await self._call_stateless(connection, name, args, answers)
        except ElicitationError as error:
            return ToolResult(f"the tool asks what nobody can be asked: {error}", is_error=True)
        except SamplingError as error:
            return ToolResult(f"the tool has asked a model in vain: {error}", is_error=True)

    def _alive(self) -> Connection:
        if self._connection is None or self._connection.is_over:
            why = "it was not started" if self._connection is None else self._connection.why_over()
            raise ToolUnavailableError(why)
        return self._connection

    async def _call_open(
        self, connection: Connection, name: str, args: Mapping[str, Any], answers: ToolAnswers | None
    ) -> ToolOutcome:
        """Call a tool at a server that keeps a call open while it asks."""

        async def work(call: OpenCall) -> types.CallToolResult:
            result = await self._request(connection, call, name, args)
            if not isinstance(result, types.CallToolResult):
                raise ToolUnavailableError("it answered by a revision that it does not speak")
            return result

        visited = answers is not None and answers.state == _VISITED
        try:
            if answers is None or (visited and all(answer is True for answer in answers.by_key.values())):
                result = await self._open.make(work)
            elif visited:
                return ToolResult("the page that the tool needs was not visited", is_error=True)
            else:
                result = await self._open.go_on(answers.state, answers.by_key)
        except _PagesRequired as required:
            if visited:
                return ToolResult("the tool asks for the same pages again", is_error=True)
            questions = [question_of(str(place), page) for place, page in enumerate(required.pages[:QUESTIONS_MAX], 1)]
            return ToolQuestions(tuple(questions), _VISITED)
        except _ToolError as error:
            return ToolResult(str(error), is_error=True)
        return result_of(result) if isinstance(result, types.CallToolResult) else result

    async def _call_stateless(
        self, connection: Connection, name: str, args: Mapping[str, Any], answers: ToolAnswers | None
    ) -> ToolOutcome:
        """Call a tool at a server that ends a call to ask, and is called again with the answers."""
        state = CallState() if answers is None else CallState.read(answers.state)
        responses = None if answers is None else state.answered(answers.by_key)
        if isinstance(responses, ToolQuestions):
            return responses
        token = CURRENT.set(call := OpenCall(""))
        try:
            for poll in range(POLLS_MAX):
                result = await self._request(connection, call, name, args, responses, state.request_state)
                if isinstance(result, types.CallToolResult):
                    return result_of(result)
                state, responses = CallState(result.request_state, state.round, result.input_requests or {}), None
                if state.requests or state.is_too_large:
                    return state.asked(may_sample=self._settings.sampling is not None)
                await asyncio.sleep(min(0.05 * 2 ** min(poll, 10), POLL_S_MAX))
        except _ToolError as error:
            return ToolResult(str(error), is_error=True)
        finally:
            CURRENT.reset(token)
        return ToolResult("the tool asks to be called again and again", is_error=True)

    async def _request(
        self,
        connection: Connection,
        call: OpenCall,
        name: str,
        args: Mapping[str, Any],
        responses: types.InputResponses | None = None,
        request_state: str | None = None,
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Make one request of a call. Raises `_ToolError`, `_PagesRequired` and `ToolUnavailableError`."""

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            of = "" if total is None else f" of {total:g}"
            call.progress = (
                f"its last progress was {progress:g}{of}{f' ({message[:SAID_CHARS_MAX]})' if message else ''}"
            )

        session = connection.session
        params = types.CallToolRequestParams(
            name=name, arguments=dict(args), input_responses=responses, request_state=request_state
        )
        request = types.CallToolRequest(params=params)
        for attempt in range(2):
            try:
                return await session.send_request(request, _RESULT, progress_callback=tell)
            except MCPError as error:
                if error.code == types.HEADER_MISMATCH and attempt == 0:
                    await self.tools()  # refused, since it was not listed as it is now: the SDK learns it so
                    continue
                if error.code == types.CONNECTION_CLOSED and self._settings.command is not None:
                    await asyncio.sleep(KEEPER_S_MAX)
                raise self._failure(connection, call, error) from error
            except (ValidationError, RuntimeError) as error:
                raise _ToolError(f"its result cannot be used: {_said(error)}") from error
        raise ToolUnavailableError("it refuses the headers that it asks for")

    def _failure(self, connection: Connection, call: OpenCall, error: MCPError) -> Exception:
        said = "; ".join([text for text in (_said(error), call.progress) if text])
        if error.code == types.URL_ELICITATION_REQUIRED:
            try:
                return _PagesRequired(UrlElicitationRequiredError.from_error(error.error).elicitations)
            except (ValidationError, AttributeError, TypeError):
                return _ToolError("it asks for pages to be visited, and does not say which")
        if error.message == _SESSION_GONE:
            connection.lose("the server does not know this session any more")
            return ToolUnavailableError("the server does not know this session any more")
        if call.refused and (error.code in _BROKEN or error.message in _NO_ANSWER):
            return ToolUnavailableError(call.refused[:SAID_CHARS_MAX])
        if error.code in _GONE:
            return ToolUnavailableError(f"the connection has ended during the call ({said})")
        return _ToolError(said)


_VISITED: Final = "visited"
"""State of a call that is made again when people have visited pages."""


class _ToolError(Exception):
    """A tool, or its server, says that a call has failed."""


class _PagesRequired(Exception):
    """A call is refused until pages have been visited."""

    def __init__(self, pages: Sequence[types.ElicitRequestURLParams]) -> None:
        super().__init__("pages are to be visited")
        self.pages = pages


def _spec_of(tool: types.Tool, signed_in: SignedIn | None) -> ToolSpec:
    told = tool.description or tool.title or "", dict(tool.input_schema), tool.output_schema
    return ToolSpec(tool.name, *(told if signed_in is None else map(signed_in.masked, told)))


def _note(message: str) -> None:
    """Keep what is heard of a request with the call that it is for."""
    call = CURRENT.get()
    if call is not None:
        call.refused = message


def _said(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        text = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    else:
        text = str(error) or type(error).__name__
    return text if len(text) <= SAID_CHARS_MAX else f"{text[:SAID_CHARS_MAX]}…"
