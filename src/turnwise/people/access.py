"""Access to the page that answers: only who has its token, only by the names that it serves, only its own pages."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from turnwise.monitor.access import foreign, with_headers

ANSWER_PATH: Final = "/api/answer"
"""The one address that takes anything."""
_SCHEME: Final = "bearer"


class AnswerAccess:
    """ASGI middleware that answers 403 to whoever may not ask, or answer.

    The token stands behind the `#` of the address that is printed, which a browser sends to nobody. The page keeps it
    for its tab, and sends it with each question and answer in the header `Authorization`. A cookie would go to whatever
    else listens on a port of this machine, another user's too, and whoever can read the monitor can only read; who has
    this token answers in somebody's name.
    """

    def __init__(self, application: ASGIApp, token: str, hosts: Sequence[str]) -> None:
        self._application = application
        self._token = token
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        refusal = foreign(connection, self._hosts) or self._refusal(scope, connection)
        if refusal is not None:
            await PlainTextResponse(refusal + "\n", 403)(scope, receive, with_headers(send))
            return
        await self._application(scope, receive, with_headers(send))

    def _refusal(self, scope: Scope, connection: HTTPConnection) -> str | None:
        """The reason for which a request is refused; None if it is not. Files of the page hold nothing of a run."""
        asks = scope["path"].startswith("/api/")
        if scope["method"] not in ("GET", "HEAD") and (scope["method"], scope["path"]) != ("POST", ANSWER_PATH):
            return "Here one can read, and answer."
        if not asks:
            return None
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != _SCHEME or not hmac.compare_digest(given.encode(), self._token.encode()):
            return "The page's token is missing. Open the address that it printed, with all that stands behind it."
        return None
