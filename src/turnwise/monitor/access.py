"""Access to the monitor: only who has its token, only by the names that it serves, only its own pages."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection, Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from turnwise.system.host_name import host_name

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


def cookie_name(scope: Scope) -> str:
    """Return the name of the cookie that lets in whoever asks here.

    Browsers send cookies to every port of a machine: with the port in its name, two monitors do not take each other's.
    """
    return f"turnwise-monitor-{scope['server'][1]}"


def foreign(connection: HTTPConnection, hosts: Collection[str]) -> str | None:
    """Return the reason for which a request is refused that comes from elsewhere, or by another name; else None."""
    headers = connection.headers
    if host_name(headers.getlist("host")) not in hosts:
        return "This is not a name of this page. Open the address that it printed."
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        return "Pages of other sites may not ask here."
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "Pages of other sites may not ask here."
    return None


def with_headers(send: Send) -> Send:
    """Have every answer carry `HEADERS`."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending


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

        connection = HTTPConnection(scope)
        cookie = cookie_name(scope)
        answer = with_headers(send)
        refusal = foreign(connection, self._hosts) or self._refusal(scope, connection, cookie)
        if refusal is not None:
            await PlainTextResponse(refusal + "\n", 403)(scope, receive, answer)
            return
        given = connection.query_params.get("token")
        if given is not None and scope["path"] == "/":  # out of the address, so that it stays in no history
            response = RedirectResponse("/", 303)
            response.set_cookie(cookie, self._token, httponly=True, samesite="strict", path="/")
            await response(scope, receive, answer)
            return
        await self._application(scope, receive, answer)

    def _refusal(self, scope: Scope, connection: HTTPConnection, cookie: str) -> str | None:
        """The reason for which a request is refused; None if it is not."""
        if scope["method"] not in ("GET", "HEAD"):
            return "The monitor can only be read."
        given = connection.query_params.get("token") if scope["path"] == "/" else None
        if not self._is_token(given) and not self._is_token(connection.cookies.get(cookie)):
            return "The monitor's token is missing. Open the address that it printed, with all that stands behind it."
        return None

    def _is_token(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(), self._token.encode())
