"""Results of MCP tools as a run keeps them."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("mcp")

from mcp import types

from turnwise.tools.kinds.mcp.results import NAME_CHARS_MAX, result_of
from turnwise.tools.server import ToolResult

TEXT = types.TextContent(type="text", text="said")


def kept(*content: Any, **members: Any) -> ToolResult:
    return result_of(types.CallToolResult(content=list(content), **members))


def test_texts_and_data_are_kept() -> None:
    assert kept(TEXT, TEXT) == ToolResult("said\nsaid")
    assert kept(TEXT, structured_content={"a": "é"}) == ToolResult("said", {"a": "é"})
    assert kept(structured_content={"a": "é", "b": 1}) == ToolResult('{"a":"é","b":1}', {"a": "é", "b": 1})
    assert kept() == ToolResult("")


def test_a_failure_has_its_words_and_no_data() -> None:
    assert kept(TEXT, structured_content={"a": 1}, is_error=True) == ToolResult("said", is_error=True)
    assert kept(is_error=True) == ToolResult("the tool has failed, and does not say why", is_error=True)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (types.ImageContent(type="image", data="aGVsbG8=", mime_type="image/png"), "[image image/png, 5 bytes]"),
        (types.AudioContent(type="audio", data="aGVsbG8h", mime_type="audio/wav"), "[audio audio/wav, 6 bytes]"),
        (types.AudioContent(type="audio", data="aA==", mime_type="a\x1bb"), "[audio a\\eb, 1 bytes]"),
        (types.ResourceLink(type="resource_link", name="n", uri="file:///x"), "[link n: file:///x]"),
        (
            types.EmbeddedResource(type="resource", resource=types.TextResourceContents(uri="file:///x", text="in it")),
            "[resource file:///x]\nin it",
        ),
        (
            types.EmbeddedResource(type="resource", resource=types.BlobResourceContents(uri="file:///x", blob="aA==")),
            "[resource file:///x, of no type, 1 bytes]",
        ),
    ],
)
def test_what_is_no_text_is_named_by_type_and_size(content: Any, line: str) -> None:
    assert kept(content).text == line


@pytest.mark.parametrize(("more", "end"), [(0, ""), (1, "…")])
def test_a_name_is_shown_up_to_a_bound(more: int, end: str) -> None:
    link = types.ResourceLink(type="resource_link", name="n" * (NAME_CHARS_MAX + more), uri="file:///x")
    assert kept(link).text == f"[link {'n' * NAME_CHARS_MAX}{end}: file:///x]"
