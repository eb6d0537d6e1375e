"""Admission of requests, by their heads, before anything else of them is looked at.

Without a key, the server listens on this machine only, and any page in a browser on this machine can reach it: by a
name that its owner lets lead to 127.0.0.1 (then `Host` is that name), or by a form (then the body is no JSON).
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from turnwise.serving.api_error import ApiError
from turnwise.serving.wire import error_response
from turnwise.system.host_name import host_name

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


def is_loopback(host: str) -> bool:
    """Return True if an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class HostGate:
    """Let in what is addressed to one of these names, with any port."""

    def __init__(self, app: ASGIApp, names: Sequence[str] = LOOPBACK_NAMES) -> None:
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and host_name(Headers(scope=scope).getlist("host")) not in self._names:
            message = "the Host of the request is not this machine: use http://127.0.0.1, or serve with a key"
            await error_response(ApiError(403, message, code="wrong_host"))(scope, receive, send)
            return
        await self._app(scope, receive, send)


class KeyGate:
    """Let in who has the key, if there is one, and bodies that are JSON."""

    def __init__(self, app: ASGIApp, key: str | None) -> None:
        self._app = app
        self._digest = None if key is None else _digest(key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (error := self._error(scope)) is not None:
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _error(self, scope: Scope) -> ApiError | None:
        headers = Headers(scope=scope)
        if self._digest is not None:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            # Digests are compared, so that the time tells nothing of the key, nor of its length.
            if not hmac.compare_digest(_digest(given.strip()), self._digest) or scheme.lower() != "bearer":
                message = "no key, or a wrong one: send it as Authorization: Bearer KEY"
                return ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and kind != "application/json":
            return ApiError(415, "the body must be application/json", code="wrong_content_type")
        return None


def _digest(key: str) -> bytes:
    return sha256(key.encode(errors="surrogateescape")).digest()
