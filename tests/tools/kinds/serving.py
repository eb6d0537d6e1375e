"""A tool server driven by one event loop, as its process drives it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from turnwise.tools.server import ToolQuestions, ToolResult, ToolServer
from turnwise.tools.spec import ToolSpec


def call(server: ToolServer, name: str, args: Mapping[str, Any] | None = None) -> ToolResult:
    """Start the server, call one tool, close the server."""
    (result,) = calls(server, (name, args or {}))
    return result


def calls(server: ToolServer, *wanted: tuple[str, Mapping[str, Any]]) -> list[ToolResult]:
    """Start the server, call tools one after the other, close the server."""

    async def run() -> list[ToolResult]:
        await server.start()
        try:
            return [_result(await server.call(name, args)) for name, args in wanted]
        finally:
            await server.close()

    return asyncio.run(run())


def tools(server: ToolServer) -> dict[str, ToolSpec]:
    """Start the server, list its tools by name, close the server."""

    async def run() -> Sequence[ToolSpec]:
        await server.start()
        try:
            return await server.tools()
        finally:
            await server.close()

    return {spec.name: spec for spec in asyncio.run(run())}


def _result(found: ToolResult | ToolQuestions) -> ToolResult:
    assert isinstance(found, ToolResult)
    return found
