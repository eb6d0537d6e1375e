"""Access to the monitor: only who has its token, only by the names that it serves, only its own pages."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from turnwise.system.host_name import host_name

COOKIE: Final = "turnwise-monitor"
TOKEN_BYTES: Final = 24
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every answer: the page loads nothing from elsewhere, and nobody else's page can hold or read it."""


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(TOKEN_BYTES)


class Access:
    """ASGI middleware that answers 403 to whoever may not ask.

    The token comes once, in the query of the first address, and is then a cookie that no script and no other site's
    page can send; the address that stays in the browser does not hold it. `hosts` are the names (without a port) that
    a request may be addressed to: another name that leads to this machine is another site's.
    """

    def __init__(self, application: ASGIApp, token: str, hosts: Sequence[str]) -> None:
        self._application = application
        self._token = token
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        connection = HTTPConnection(scope)
        refusal = self._refusal(scope, connection)
        if refusal is not None:
            await PlainTextResponse(refusal + "\n", 403)(scope, receive, with_headers)
            return
        given = connection.query_params.get("token")
        if given is not None and scope["path"] == "/":  # out of the address, so that it stays in no history
            response = RedirectResponse("/", 303)
            response.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", path="/")
            await response(scope, receive, with_headers)
            return
        await self._application(scope, receive, with_headers)

    def _refusal(self, scope: Scope, connection: HTTPConnection) -> str | None:
        """The reason for which a request is refused; None if it is not."""
        headers = connection.headers
        if host_name(headers.getlist("host")) not in self._hosts:
            return "This is not a name of the monitor. Open the address that it printed."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            return "Pages of other sites may not ask the monitor."
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "Pages of other sites may not ask the monitor."
        if scope["method"] not in ("GET", "HEAD"):
            return "The monitor can only be read."
        given = connection.query_params.get("token") if scope["path"] == "/" else None
        if not self._is_token(given) and not self._is_token(connection.cookies.get(COOKIE)):
            return "The monitor's token is missing. Open the address that it printed, with all that stands behind it."
        return None

    def _is_token(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(), self._token.encode())
