"""Server-sent events: an answer as it comes, for as long as somebody reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from turnwise.serving.api_error import ApiError
from turnwise.serving.dispatcher import Answers
from turnwise.serving.wire import unless_gone

SEND_S_MAX: Final = 120.0
"""Time that a client may take to read an event."""
END: Final = b"data: [DONE]\n\n"

Event = tuple[str | None, Any]


class EventStream(Response):
    """Sends events, the first of which is there already, and closes `answers` whatever happens.

    Events without names are followed by `[DONE]`, as the API has it. What goes wrong meanwhile is an event too.
    """

    media_type = "text/event-stream"

    def __init__(self, first: Event, rest: AsyncIterator[Event], answers: Answers) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-store"})
        self._first = first
        self._rest = rest
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._answers:
            try:
                await unless_gone(receive, lambda: self._send_all(send))
            except (ClientDisconnect, OSError, TimeoutError):
                return  # nobody reads: the engine drops what is left

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _send(send, encoded(self._first))
        try:
            async for event in self._rest:
                await _send(send, encoded(event))
        except ApiError as error:
            name = None if self._first[0] is None else "error"
            await _send(send, encoded((name, error.body() if name is None else error.body()["error"])))
        else:
            if self._first[0] is None:
                await _send(send, END)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def encoded(event: Event) -> bytes:
    """Return an event as bytes."""
    name, data = event
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + msgspec.json.encode(data) + b"\n\n"


async def _send(send: Send, body: bytes) -> None:
    async with asyncio.timeout(SEND_S_MAX):
        await send({"type": "http.response.body", "body": body, "more_body": True})
