from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.tools.kinds.mcp.serving import listening
from turnwise.tools.kinds.http_address import Network
from turnwise.tools.kinds.mcp.http import http_client

pytestmark = pytest.mark.anyio


async def say(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.headers['host']} {request.headers.get('authorization')}")


def named(monkeypatch: pytest.MonkeyPatch, name: str, *addresses: str) -> list[str]:
    """Have a name stand for addresses; return the names that are looked up."""
    asked: list[str] = []

    async def look_up(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        if host != name:
            raise socket.gaierror("unknown name")
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up, raising=False)
    return asked


async def asked(url: str, *, networks: list[Network] | None = None) -> tuple[int, str, list[str]]:
    """Status, body, and what was told of refusals."""
    refusals: list[str] = []
    async with http_client({"Authorization": "me"}, networks or [], None, 1000, refusals.append) as client:
        response = await client.get(url)
        return response.status_code, response.text, refusals


async def test_a_name_that_stands_for_this_machine_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(Starlette(routes=[Route("/", say)])) as port:
        named(monkeypatch, "public.example", "8.8.8.8", "127.0.0.1")
        status, _, [refusal] = await asked(f"http://public.example:{port}/")
    assert status == 502
    assert "public.example is at 8.8.8.8, 127.0.0.1, which is not public" in refusal


async def test_a_network_that_is_listed_may_be_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(Starlette(routes=[Route("/", say)])) as port:
        names = named(monkeypatch, "inside.example", "127.0.0.1")
        url = f"http://inside.example:{port}/"
        status, body, refusals = await asked(url, networks=[ipaddress.ip_network("127.0.0.0/8")])
    assert (status, body) == (200, f"inside.example:{port} me")
    assert refusals == []
    assert names == ["inside.example"]  # once: the address that was checked is the one that is connected to


async def test_localhost_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(Starlette(routes=[Route("/", say)])) as port:
        named(monkeypatch, "localhost", "::1", "127.0.0.1")
        assert (await asked(f"http://localhost:{port}/"))[0] == 200
        named(monkeypatch, "localhost", "10.0.0.1")
        assert (await asked(f"http://localhost:{port}/"))[0] == 502


async def test_a_name_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, "known.example", "127.0.0.1")
    status, _, [refusal] = await asked("http://unknown.example/")
    assert status == 502
    assert "the name unknown.example cannot be looked up" in refusal


async def test_what_the_environment_says_of_proxies_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://192.0.2.1:9")
    with listening(Starlette(routes=[Route("/", say)])) as port:
        assert (await asked(f"http://127.0.0.1:{port}/"))[0] == 200


async def test_a_body_has_a_bound() -> None:
    async def large(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * 1001)

    async def small(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * 1000)

    with listening(Starlette(routes=[Route("/large", large), Route("/small", small)])) as port:
        assert (await asked(f"http://127.0.0.1:{port}/small"))[1] == "x" * 1000
        with pytest.raises(httpx2.StreamError, match="more for one answer"):
            await asked(f"http://127.0.0.1:{port}/large")
