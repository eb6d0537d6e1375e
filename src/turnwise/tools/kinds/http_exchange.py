"""One GET over one connection: to an address that was checked, within bytes, by the state machine of `h11`."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import h11

from turnwise.tools.kinds.http_address import Address, Target

READ_BYTES: Final = 64 * 1024
HEAD_BYTES_MAX: Final = 64 * 1024
"""Bytes of a status line with its headers, and of a line between chunks."""
OVERHEAD_BYTES_MAX: Final = 1024 * 1024
"""Bytes that may come beside the body: heads, interim responses, sizes of chunks, trailers."""


class ExchangeError(Exception):
    """A connection that failed, or a response that is none; the text says why."""


@dataclass(frozen=True, slots=True)
class Response:
    """Response to a GET."""

    status: int
    """Status, from 200."""
    headers: Mapping[str, str]
    """Headers by name in lower case; of several with one name the first."""
    body: bytes
    """Body, as far as it was read."""
    is_cut: bool
    """True if the body is longer."""


async def get(
    target: Target, address: Address, headers: Mapping[str, str], tls: ssl.SSLContext | None, body_bytes_max: int
) -> Response:
    """Ask `target` at `address`, and read at most `body_bytes_max` of the body. Raises `ExchangeError`.

    With `tls` the certificate must be for the host of the target, not for the address.
    """
    try:
        reader, writer = await asyncio.open_connection(
            str(address), target.origin.port, ssl=tls, server_hostname=target.origin.host if tls else None
        )
    except (OSError, ssl.SSLError) as error:
        raise ExchangeError(f"{target.origin} at {address}: {_reason(error)}") from None
    try:
        return await _exchange(reader, writer, target, headers, body_bytes_max)
    except (OSError, ssl.SSLError, h11.ProtocolError) as error:
        raise ExchangeError(f"{target.origin}: {_reason(error)}") from None
    finally:
        writer.close()
        with contextlib.suppress(OSError, RuntimeError):
            writer.transport.abort()  # nothing is left to say; a goodbye of TLS would wait for the other side


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    target: Target,
    headers: Mapping[str, str],
    body_bytes_max: int,
) -> Response:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
    sent = [("Host", target.origin.authority), *headers.items(), ("Accept-Encoding", "identity")]
    request = h11.Request(method="GET", target=target.path, headers=[*sent, ("Connection", "close")])
    writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    received = 0
    head: h11.Response | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(READ_BYTES)
            received += len(data)
            if received > body_bytes_max + OVERHEAD_BYTES_MAX:
                raise ExchangeError(f"{target.origin}: more than {OVERHEAD_BYTES_MAX:,} bytes beside the body")
            connection.receive_data(data)
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > body_bytes_max:
                break
        elif isinstance(event, h11.InformationalResponse):
            continue
        else:
            break
    if head is None:
        raise ExchangeError(f"{target.origin}: the connection ended without a response")
    found: dict[str, str] = {}
    for name, value in head.headers:
        found.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return Response(head.status_code, found, bytes(body[:body_bytes_max]), len(body) > body_bytes_max)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
