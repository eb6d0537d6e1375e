"""A small server of the official SDK: `python small.py` speaks over stdio, `make_server` is for others."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
from mcp.server.request_state import RequestStateSecurity
from mcp.shared.exceptions import UrlElicitationRequiredError
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CreateMessageResult,
    ElicitRequestURLParams,
    EmbeddedResource,
    ImageContent,
    ListRootsResult,
    ResourceLink,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel


class Size(BaseModel):
    size: str
    count: int = 3


class Nothing(BaseModel):
    """A question with nothing to fill in."""


def which_size(what: str) -> Elicit[Size]:
    return Elicit(f"Which size of {what}?", Size)


def really() -> Elicit[Nothing]:
    return Elicit("Really?", Nothing)


def some_text() -> Sample:
    return Sample([SamplingMessage(role="user", content=TextContent(type="text", text="hello"))], max_tokens=3)


def told(outcome: ElicitationResult[Size]) -> str:
    if isinstance(outcome, AcceptedElicitation):
        return f"{outcome.data.count} {outcome.data.size}"
    return outcome.action


def make_server(started: list[str] | None = None, cancelled: list[str] | None = None) -> MCPServer:
    """Make it; `started` and `cancelled` are told the calls of `wait` to which that happens."""
    # With a key of its own, a server would not know after a restart what it has asked before.
    server = MCPServer("small", log_level="CRITICAL", request_state_security=RequestStateSecurity(keys=["k" * 32]))
    visited: list[str] = []

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    def fail() -> str:
        """Fail."""
        raise ToolError("no luck today")

    @server.tool(structured_output=False)
    def show() -> list[object]:
        """Show content of every type."""
        return [
            TextContent(type="text", text="a text"),
            ImageContent(type="image", data="aGVsbG8=", mime_type="image/png"),
            AudioContent(type="audio", data="aGVsbG8h", mime_type="audio/wav"),
            ResourceLink(type="resource_link", name="notes", uri="file:///notes.txt"),
            EmbeddedResource(
                type="resource",
                resource=TextResourceContents(uri="file:///a.txt", text="inside", mime_type="text/plain"),
            ),
            EmbeddedResource(type="resource", resource=BlobResourceContents(uri="file:///a\x1b.bin", blob="aGVsbA==")),
        ]

    @server.tool()
    def ask(what: str, size: Annotated[ElicitationResult[Size], Resolve(which_size)]) -> str:
        """Ask for a size."""
        return told(size)

    @server.tool()
    def confirm(sure: Annotated[ElicitationResult[Nothing], Resolve(really)]) -> str:
        """Ask whether somebody is sure."""
        return sure.action

    @server.tool()
    def sample(text: Annotated[CreateMessageResult, Resolve(some_text)]) -> str:
        """Ask for a model."""
        return str(text)

    @server.tool()
    def roots(found: Annotated[ListRootsResult, Resolve(lambda: ListRoots())]) -> str:
        """Ask for folders."""
        return str(found)

    @server.tool()
    async def visit(page: str) -> str:
        """Fail until a page has been visited."""
        if page not in visited:
            visited.append(page)
            asked = ElicitRequestURLParams(message="Sign in.", url=f"https://example.com/{page}", elicitation_id="e1")
            raise UrlElicitationRequiredError([asked])
        return "signed in"

    @server.tool()
    async def wait(name: str, ctx: Context) -> str:
        """Wait for ever."""
        await ctx.report_progress(1, 3, "begun")
        if started is not None:
            started.append(name)
        try:
            await asyncio.sleep(3600)
        except BaseException:
            if cancelled is not None:
                cancelled.append(name)
            raise
        return "over"

    @server.tool()
    def surroundings() -> dict[str, object]:
        """Tell the environment and the working folder."""
        return {"environment": dict(os.environ), "folder": str(Path.cwd())}

    @server.tool()
    async def grow(ctx: Context) -> str:
        """Have another tool."""

        @server.tool()
        def grown() -> str:
            """Is new."""
            return "new"

        await ctx.notify_tools_changed()
        if ctx.session.protocol_version < "2026":
            await ctx.session.send_tool_list_changed()
        return "grown"

    @server.tool()
    def die() -> str:
        """End the process."""
        os._exit(7)

    return server


if __name__ == "__main__":
    make_server().run()
    sys.exit(0)
