"""Access to the monitor: only who has its token, only by the names that it serves, only its own pages."""

from __future__ import annotations

import hmac
import secrets
from abc import ABC, abstractmethod
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


class PageAccess(ABC):
    """ASGI middleware that answers 403 to whoever may not ask a page, and puts `HEADERS` on every answer.

    `hosts` are the names (without a port) that a request may be addressed to: another name that leads to this machine
    is another site's. Who has the token may ask; how it comes is the page's.
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
        refusal = foreign(connection, self._hosts) or self.refusal(connection)
        if refusal is None:
            answer = self.answer_instead(connection) or self._application
        else:
            answer = PlainTextResponse(refusal + "\n", 403)
        await answer(scope, receive, with_headers(send))

    @abstractmethod
    def refusal(self, connection: HTTPConnection) -> str | None:
        """Return the reason for which a request is refused; None if it is not."""

    def answer_instead(self, connection: HTTPConnection) -> ASGIApp | None:
        """Return the answer to a request that does not come to the page's application; None for all others."""
        return None

    def is_token(self, given: str | None) -> bool:
        """True if somebody has given the token."""
        return given is not None and hmac.compare_digest(given.encode(), self._token.encode())


class Access(PageAccess):
    """Access to the monitor.

    The token comes once, in the query of the first address, and is then a cookie that no script and no other site's
    page can send; the address that stays in the browser does not hold it.
    """

    def refusal(self, connection: HTTPConnection) -> str | None:
        """Return the reason for which a request is refused; None if it is not."""
        if connection.scope["method"] not in ("GET", "HEAD"):
            return "The monitor can only be read."
        if not self.is_token(_given(connection)) and not self.is_token(
            connection.cookies.get(cookie_name(connection.scope))
        ):
            return "The monitor's token is missing. Open the address that it printed, with all that stands behind it."
        return None

    def answer_instead(self, connection: HTTPConnection) -> ASGIApp | None:
        """Take the token out of the address, so that it stays in no history."""
        if _given(connection) is None:
            return None
        response = RedirectResponse("/", 303)
        response.set_cookie(cookie_name(connection.scope), self._token, httponly=True, samesite="strict", path="/")
        return response


def _given(connection: HTTPConnection) -> str | None:
    """Return the token in the address of a request, which only the first one has."""
    return connection.query_params.get("token") if connection.scope["path"] == "/" else None
