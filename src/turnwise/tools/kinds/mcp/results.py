"""Results of tools as a run keeps them: text, structured content, and a line for what is neither."""

from __future__ import annotations

import json
from typing import Any, Final

from mcp import types

from turnwise.tools.server import ToolResult
from turnwise.visible_text import visible

NAME_CHARS_MAX: Final = 200
"""Characters of a name, a type or an address in a line about content that is no text."""


def result_of(result: types.CallToolResult) -> ToolResult:
    """Return a result as the run keeps it."""
    data = result.structured_content
    text = "\n".join([_block_text(block) for block in result.content])
    if not result.content and data is not None:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    if result.is_error:
        return ToolResult(text or "the tool has failed, and does not say why", is_error=True)
    return ToolResult(text, data)


def _block_text(block: Any) -> str:
    match block:
        case types.TextContent():
            return block.text
        case types.ImageContent():
            return f"[image {_short(block.mime_type)}, {_decoded_bytes(block.data):,} bytes]"
        case types.AudioContent():
            return f"[audio {_short(block.mime_type)}, {_decoded_bytes(block.data):,} bytes]"
        case types.ResourceLink():
            return f"[link {_short(block.name)}: {_short(str(block.uri))}]"
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return f"[resource {_short(str(resource.uri))}]\n{resource.text}"
        case types.EmbeddedResource(resource=types.BlobResourceContents() as resource):
            kind = _short(resource.mime_type or "of no type")
            return f"[resource {_short(str(resource.uri))}, {kind}, {_decoded_bytes(resource.blob):,} bytes]"
    return f"[content of type {_short(str(getattr(block, 'type', type(block).__name__)))}]"


def _decoded_bytes(data: str) -> int:
    """Bytes that a text in base64 stands for."""
    return len(data) * 3 // 4 - data[-2:].count("=")


def _short(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= NAME_CHARS_MAX else f"{shown[:NAME_CHARS_MAX]}…"
