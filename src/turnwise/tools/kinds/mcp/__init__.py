"""Tools of servers that speak the Model Context Protocol: a command over stdio, or a URL over streamable HTTP.

The official SDK has the protocol, both its eras: revision 2026-07-28, in which each request stands alone, and the
revisions up to 2025-11-25, which begin with a handshake. Here is what a run needs beside it: bounds on all that a
server sends, no environment but the listed one, and questions to people that outlast the request they came with.

`tool_server` is the server; it knows `connection` (one connection and its end), which knows the transports `stdio` and
`http`; `open_calls`, `elicitation` and `results` say what becomes of a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnwise.tools.kinds.mcp.settings import settings_of
from turnwise.tools.kinds.settings import problems

if TYPE_CHECKING:
    from turnwise.tools.kinds.mcp.tool_server import McpServer


def check(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with settings: key, message, hint."""
    yield from problems(settings_of, settings)
    oauth = settings.get("oauth")
    for key in ("client_secret", "private_key"):
        if isinstance(oauth, Mapping) and isinstance(oauth.get(key), str):
            hint = f'Write {key} = {{ secret = "env:NAME" }}.'
            yield f"oauth.{key}", "stands in the world itself, which is recorded", hint


def server(settings: Mapping[str, Any], folder: Path) -> McpServer:
    """Make a server of a world's settings, in its folder.

    Raises `SettingsError`; `ToolUnavailableError` where the extra `mcp` is not installed.
    """
    from turnwise.tools.server import ToolUnavailableError

    try:
        from turnwise.tools.kinds.mcp.tool_server import McpServer
    except ImportError as error:
        missing = f"MCP is not installed ({error.name} is missing): pip install 'turnwise[mcp]'"
        raise ToolUnavailableError(missing) from error
    return McpServer(settings_of(settings), folder)
