"""The HTTP client for a server that is a URL: what it may connect to, and how much it takes.

The SDK follows redirects within the origin of the URL, and no others. Here a name is looked up, its addresses are
checked, and the connection goes to one of those that were: a name that says something else the next time leads nowhere.
Nothing of the environment (proxies, credentials) is used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

import httpx2

from turnwise.tools.kinds.http_address import (
    Address,
    Network,
    WebOrigin,
    address_of,
    is_this_machine,
    may_connect,
    read_host,
    read_target,
)
from turnwise.tools.kinds.mcp.oauth import SignedIn

BODY_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of the stream of events that answers one request."""

CONNECT_S_MAX: Final = 20.0
"""Seconds in which a connection is made, and a request is sent."""

ADDRESSES_MAX: Final = 4
"""Addresses of a name that are tried, one after the other."""

_TOO_MUCH: Final = "it sent more for one answer than is taken (message_kib_max)"
_COMPRESSED: Final = "its answer is compressed, which nobody asked for"


def http_client(
    headers: dict[str, str],
    networks: Sequence[Network],
    certificates: Path | None,
    message_bytes_max: int,
    refused: Callable[[str], None],
    signed_in: SignedIn | None = None,
) -> httpx2.AsyncClient:
    """Make the client; `refused` is told why a request was not made, or was not answered with success.

    `signed_in` gives each request its token, and says whom requests may go to.

    Raises `OSError` for certificates that cannot be read. There is no bound on the seconds that a server takes to
    answer: a call has one of its own.
    """
    context = ssl.create_default_context(cafile=None if certificates is None else str(certificates))
    origins = None if signed_in is None else signed_in.origins
    transport = _CheckedTransport(context, networks, message_bytes_max, refused, origins)
    timeout = httpx2.Timeout(CONNECT_S_MAX, read=None)
    headers = {**headers, "Accept-Encoding": "identity"}
    auth = None if signed_in is None else signed_in.provider
    return httpx2.AsyncClient(headers=headers, timeout=timeout, transport=transport, trust_env=False, auth=auth)


class _CheckedTransport(httpx2.AsyncBaseTransport):
    """Connects to checked addresses only, and bounds what comes back. `origins`: whom to ask; None: anybody."""

    def __init__(
        self,
        context: ssl.SSLContext,
        networks: Sequence[Network],
        message_bytes_max: int,
        refused: Callable[[str], None],
        origins: Sequence[WebOrigin] | None,
    ) -> None:
        self._origins = origins
        self._inner = httpx2.AsyncHTTPTransport(verify=context, trust_env=False)
        self._networks = networks
        self._message_bytes_max = message_bytes_max
        self._refused = refused

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to the first address that takes it; where none does, that is the answer, as a gateway's.

        An exception would end the connection of all calls.
        """
        url = request.url
        said = f"there is no connection to {url.host}"
        try:
            for address in await self._addresses(url):
                try:
                    return self._bounded(await self._sent(request, url, address))
                except httpx2.TransportError as error:
                    said = f"there is no connection to {url.host}: {str(error) or type(error).__name__}"
                    if not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
                        break  # it may have been sent
        except httpx2.ConnectError as error:
            said = str(error)
        self._refused(said)
        return httpx2.Response(502, request=request)

    async def _sent(self, request: httpx2.Request, url: httpx2.URL, address: Address) -> httpx2.Response:
        request.url = url.copy_with(host=str(address))
        if url.scheme == "https":
            request.extensions["sni_hostname"] = url.host
        try:
            return await self._inner.handle_async_request(request)
        finally:
            request.url = url

    async def _addresses(self, url: httpx2.URL) -> list[Address]:
        """The addresses of a host that may be connected to. Raises `httpx2.ConnectError` if there are none."""
        host = url.host
        if self._origins is not None:
            asked = read_target(str(url)).origin
            if not any(origin.covers(asked) for origin in self._origins):
                raise httpx2.ConnectError(f"{asked} is not listed: it is neither of url nor issuer, nor in oauth.hosts")
        literal = address_of(host)
        if literal is not None:
            return [literal]
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpx2.ConnectError(f"the name {host} cannot be looked up: {error}") from error
        addresses = list(dict.fromkeys([ipaddress.ip_address(entry[4][0]) for entry in found]))
        if not all(self._may(address, host) for address in addresses):
            raise httpx2.ConnectError(
                f"{host} is at {', '.join(map(str, addresses[:ADDRESSES_MAX]))}, which is not public. If it is meant, "
                'list its network: networks = ["10.0.0.0/8"]'
            )
        return addresses[:ADDRESSES_MAX]

    def _may(self, address: Address, host: str) -> bool:
        if is_this_machine(read_host(host)) and address.is_loopback:
            return True
        return may_connect(address, host, self._networks)

    def _bounded(self, response: httpx2.Response) -> httpx2.Response:
        is_stream = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        most = BODY_BYTES_MAX if is_stream else self._message_bytes_max
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            most, response.headers["content-encoding"] = 0, "identity"  # who knows how much it would become
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _BoundedStream(response.stream, most, self._refused)
        if response.status_code >= 400:
            self._refused(f"it answered {response.status_code} {response.reason_phrase}".strip())
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    """A body of which no more than a number of bytes is taken."""

    def __init__(self, inner: httpx2.AsyncByteStream, bytes_max: int, refused: Callable[[str], None]) -> None:
        self._inner = inner
        self._bytes_max = bytes_max
        self._refused = refused

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for part in self._inner:
                size += len(part)
                if size > self._bytes_max:
                    raise self._broken(_TOO_MUCH if self._bytes_max else _COMPRESSED)
                yield part
        except httpx2.TransportError as error:
            raise self._broken(f"its answer broke off: {str(error) or type(error).__name__}") from error

    def _broken(self, message: str) -> httpx2.StreamError:
        self._refused(message)
        return httpx2.StreamError(message)

    async def aclose(self) -> None:
        await self._inner.aclose()
