from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from turnwise.tools.kinds import mcp as kind
from turnwise.tools.kinds.settings import SettingsError


def keys(settings: dict[str, Any]) -> list[str]:
    return [key for key, message, hint in kind.check(settings) if message and hint]


@pytest.mark.parametrize(
    "settings",
    [
        {"command": "npx", "args": ["-y", "server"], "folder": "data"},
        {"command": "server", "args": [{"secret": "env:KEY"}], "revision": "2025-11-25"},
        {"url": "https://example.com/mcp", "headers": {"Authorization": {"secret": "env:KEY"}}},
        {"url": "http://localhost:3000/mcp", "networks": ["10.0.0.0/8"], "certificates": "own.pem"},
        {"url": "https://example.com/mcp", "headers": {"X-Key": "a"}, "message_kib_max": 1},
    ],
)
def test_settings_that_are_well(settings: dict[str, Any]) -> None:
    assert keys(settings) == []


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({}, ["command"]),
        ({"command": "a", "url": "https://example.com"}, ["command"]),
        ({"command": 5}, ["command"]),
        ({"command": "a", "arguments": []}, ["arguments"]),
        ({"command": "a", "args": ["x"] * 257}, ["args"]),
        ({"command": "a", "headers": {"A": "b"}, "networks": ["10.0.0.0/8"]}, ["headers"]),
        ({"url": "https://example.com", "args": ["a"], "folder": "b"}, ["args"]),
        ({"url": "ftp://example.com"}, ["url"]),
        ({"url": "https://me:secret@example.com"}, ["url"]),
        ({"url": "https://example.com", "headers": {"Host": "b"}}, ["headers.Host"]),
        ({"url": "https://example.com", "headers": {"MCP-Session-Id": "b"}}, ["headers.MCP-Session-Id"]),
        ({"url": "https://example.com", "headers": {"A:": "b"}}, ["headers.A:"]),
        ({"url": "https://example.com", "headers": {"A": "b\r\nC: d"}}, ["headers.A"]),
        ({"url": "https://example.com", "networks": ["here"]}, ["networks"]),
        ({"command": "a", "revision": "2024-11-05"}, ["revision"]),
        ({"command": "a", "message_kib_max": 0}, ["message_kib_max"]),
    ],
)
def test_what_is_wrong_is_named_by_its_key(settings: dict[str, Any], wrong: list[str]) -> None:
    assert keys(settings) == wrong


def test_a_server_of_wrong_settings_is_not_made() -> None:
    with pytest.raises(SettingsError):
        kind.server({"command": 5}, Path())
