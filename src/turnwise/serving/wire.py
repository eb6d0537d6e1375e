"""Responses and request bodies, as bytes of HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive

from turnwise.serving.api_error import ApiError

BODY_BYTES_MAX: Final = 16 * 1024 * 1024
BODY_S_MAX: Final = 60.0
"""Time for a body to arrive."""

_T = TypeVar("_T")


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response that is one JSON value."""
    return Response(msgspec.json.encode(value), status, dict(headers or {}), media_type="application/json")


def error_response(error: ApiError) -> Response:
    """Return the response that says what is wrong."""
    return json_response(error.body(), error.status, error.headers)


async def read_body(request: Request) -> bytes:
    """Read a body of at most `BODY_BYTES_MAX`. Raises ApiError, and ClientDisconnect."""
    too_large = ApiError(413, f"the body has more than {BODY_BYTES_MAX:,} bytes", code="body_too_large")
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > BODY_BYTES_MAX:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S_MAX):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    raise too_large
    except TimeoutError:
        raise ApiError(408, f"the body did not arrive within {BODY_S_MAX:g} seconds", code="timeout") from None
    return bytes(body)


async def unless_gone(receive: Receive, work: Callable[[], Awaitable[_T]]) -> _T:
    """Wait for some work, as long as the client is there; cancels it else. Raises ClientDisconnect.

    The request's body must have been read.
    """
    working = asyncio.ensure_future(work())
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait({working, leaving})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
