"""Servers that speak MCP, for tests: commands over stdio, and the SDK's over HTTP in a thread of the test."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer

from turnwise.tools.kinds import mcp as kind
from turnwise.tools.kinds.mcp.tool_server import McpServer

SERVERS = Path(__file__).parent / "servers"


def command(name: str, *args: str) -> dict[str, Any]:
    """Settings of one of the servers beside this file."""
    return {"command": sys.executable, "args": [str(SERVERS / name), *args]}


@asynccontextmanager
async def started(settings: dict[str, Any], folder: Path = Path()) -> AsyncIterator[McpServer]:
    """Start a server, and close it at the end."""
    server = kind.server(settings, folder)
    try:
        await server.start()
        yield server
    finally:
        await server.close()


@contextmanager
def over_http(server: MCPServer, **options: Any) -> Iterator[str]:
    """Serve it on this machine; yield the URL."""
    with listening(server.streamable_http_app(**options)) as port:
        yield f"http://127.0.0.1:{port}/mcp"


@contextmanager
def listening(app: Any) -> Iterator[int]:
    """Serve an application on this machine; yield the port."""
    with listening_at(lambda _port: app) as port:
        yield port


@contextmanager
def listening_at(make: Callable[[int], Any]) -> Iterator[int]:
    """Serve an application that knows its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(make(listener.getsockname()[1]), log_level="critical", timeout_graceful_shutdown=1)
        uvicorn_server = uvicorn.Server(config)
        thread = threading.Thread(target=uvicorn_server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            uvicorn_server.should_exit = True
            thread.join()
