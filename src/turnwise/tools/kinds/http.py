"""Kind `http`: GET from the hosts that the world lists, and from no others.

A host is looked up once for each request, all its addresses are checked, and the connection goes to one of those: a
name that says something else the next time it is asked leads nowhere. Redirects are followed to listed hosts only, and
each is checked like a request. Nothing of the environment (proxies, credentials) is used.
"""

from __future__ import annotations

import asyncio
import email.message
import ipaddress
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urljoin

import msgspec

from turnwise._version import __version__
from turnwise.tools.kinds.http_address import (
    URL_CHARS_MAX,
    Address,
    AddressError,
    Network,
    Target,
    WebOrigin,
    address_of,
    may_connect,
    read_entry,
    read_target,
)
from turnwise.tools.kinds.settings import SettingsError, problems, read_settings
from turnwise.tools.server import ToolAnswers, ToolResult, ToolUnavailableError
from turnwise.tools.spec import ToolSpec

if TYPE_CHECKING:
    from turnwise.tools.kinds.http_exchange import Response

ADDRESSES_MAX: Final = 4
"""Addresses of a host that are tried, one after the other."""
ERROR_CHARS_MAX: Final = 2_000
"""Characters of the body of an error that its message has."""
REDIRECTS: Final = (301, 302, 303, 307, 308)
TEXT_TYPES: Final = re.compile(r"text/.*|application/(json|xml|javascript|x-www-form-urlencoded|yaml|.*\+(json|xml))")
JSON_TYPES: Final = re.compile(r"application/(.*\+)?json")
CHARSETS: Final = re.compile(
    r"(us-)?ascii|utf-?8|utf-?16(le|be)?|latin-?1|iso-8859-\d+|(windows-|cp)125\d|koi8-[ru]|"
    r"shift_jis|euc-(jp|kr)|gb(2312|k|18030)|big5"
)
"""Encodings of text that are read; Python knows others that are none of text, or take long."""
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
RESERVED_HEADERS: Final = ("accept-encoding", "connection", "content-length", "host", "transfer-encoding")


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the kind.

    `hosts`: `HOST`, `HOST:PORT`, `*.DOMAIN`, all for https, and `http://HOST` for http. `networks`: networks that are
    not public and may be reached nevertheless. `headers`: by an entry of `hosts`, what is sent there. `certificates`:
    a file of certificates that are trusted instead of the system's, relative to the world file. `body_kib_max`: bytes
    of a body that are read. `redirects_max`: redirects that are followed. `request_seconds_max`: time for all of it.
    """

    hosts: tuple[str, ...]
    networks: tuple[str, ...] = ()
    headers: dict[str, dict[str, str]] = {}
    certificates: str | None = None
    body_kib_max: Annotated[int, msgspec.Meta(ge=1, le=64 * 1024)] = 96
    redirects_max: Annotated[int, msgspec.Meta(ge=0, le=20)] = 5
    request_seconds_max: Annotated[float, msgspec.Meta(gt=0, le=600)] = 20


class RequestRefusal(Exception):
    """A request that is not made; the text is for the agent."""


def settings_of(settings: Mapping[str, Any]) -> HttpSettings:
    """Return the settings. Raises `SettingsError`."""
    found = read_settings(HttpSettings, settings)
    if not found.hosts:
        raise SettingsError("hosts", "no host is listed", 'For example hosts = ["api.example.com"].')
    for text in found.hosts:
        try:
            read_entry(text)
        except AddressError as error:
            raise SettingsError("hosts", str(error), 'For example hosts = ["api.example.com"].') from None
    for text in found.networks:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise SettingsError("networks", str(error), 'For example networks = ["10.1.0.0/16"].') from None
    for entry, headers in found.headers.items():
        where = f"headers.{entry}"
        if entry not in found.hosts:
            raise SettingsError(where, "headers are for an entry of `hosts`", "Write it as it stands there.")
        for name, value in headers.items():
            if not _HEADER.fullmatch(name) or name.lower() in RESERVED_HEADERS:
                raise SettingsError(where, f"{name!r} is no header to be set", "Leave it out.")
            if not value.isprintable() or not value.isascii():
                raise SettingsError(
                    where, f"the value of {name!r} has characters that do not print, or are not ASCII", "Mend it."
                )
    return found


def check(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with settings: key, message, hint."""
    yield from problems(settings_of, settings)


def names(settings: Mapping[str, Any], folder: Path) -> Sequence[str] | None:  # noqa: ARG001
    """Return the names of its tools, as far as they are known without starting it."""
    return ["get"]


def server(settings: Mapping[str, Any], folder: Path) -> HttpServer:
    """Make a server of the kind; `folder` is the world's. Raises `SettingsError`."""
    return HttpServer(settings_of(settings), folder)


class HttpServer:
    """Server with the tool `get`."""

    on_change: Callable[[], None]
    """Called by none: the list never becomes another."""

    def __init__(self, settings: HttpSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._entries: list[tuple[WebOrigin, Mapping[str, str]]] = [
            (read_entry(text), settings.headers.get(text, {})) for text in settings.hosts
        ]
        self._networks: list[Network] = [ipaddress.ip_network(text) for text in settings.networks]
        self._tls: ssl.SSLContext | None = None

    async def start(self) -> None:
        """Read the certificates that are trusted."""
        try:
            import turnwise.tools.kinds.http_exchange  # noqa: F401  # what comes with an extra is missed now, not in a call
        except ImportError as error:
            raise ToolUnavailableError(f"{error}: install turnwise[tools]") from None
        file = self._settings.certificates
        try:
            self._tls = ssl.create_default_context(cafile=None if file is None else self._folder / file)
        except (OSError, ssl.SSLError) as error:
            raise ToolUnavailableError(f"the certificates {file or 'of the system'}: {error}") from None

    async def tools(self) -> Sequence[ToolSpec]:
        """List the tool, with the hosts that it may ask."""
        hosts = ", ".join(str(origin) for origin, _ in self._entries)
        return [
            ToolSpec(
                "get",
                f"Fetch a URL by GET. Hosts: {hosts}.",
                {
                    "type": "object",
                    "properties": {"url": {"type": "string", "maxLength": URL_CHARS_MAX}},
                    "required": ["url"],
                    "additionalProperties": False,
                },
                _OUTPUT,
            )
        ]

    async def call(self, name: str, args: Mapping[str, Any], answers: ToolAnswers | None = None) -> ToolResult:
        """Fetch a URL."""
        if self._tls is None:
            raise ToolUnavailableError("the server has not been started")
        seconds = self._settings.request_seconds_max
        try:
            async with asyncio.timeout(seconds):
                target, response = await self._follow(read_target(args["url"]))
        except (AddressError, RequestRefusal) as error:
            return ToolResult(str(error), is_error=True)
        except TimeoutError:
            raise ToolUnavailableError(f"no response within {seconds:g} seconds") from None
        return _result(target, response)

    async def close(self) -> None:
        """Do nothing: no connection outlives its request."""

    async def _follow(self, target: Target) -> tuple[Target, Response]:
        for _ in range(self._settings.redirects_max + 1):
            response = await self._get(target)
            location = response.headers.get("location")
            if response.status not in REDIRECTS or location is None:
                return target, response
            before = target
            try:
                target = read_target(urljoin(str(target), location))
                self._headers_for(target.origin)
            except (AddressError, RequestRefusal, ValueError) as error:
                raise RequestRefusal(f"{before.origin} redirects elsewhere, which is not followed: {error}") from None
        raise RequestRefusal(f"more than {self._settings.redirects_max} redirects")

    async def _get(self, target: Target) -> Response:
        from turnwise.tools.kinds.http_exchange import ExchangeError, get

        headers = {"User-Agent": f"turnwise/{__version__}", "Accept": "*/*"}
        headers |= self._headers_for(target.origin)
        problem = None
        for address in (await self._addresses(target.origin))[:ADDRESSES_MAX]:
            try:
                return await get(
                    target,
                    address,
                    headers,
                    self._tls if target.origin.scheme == "https" else None,
                    self._settings.body_kib_max * 1024,
                )
            except ExchangeError as error:
                problem = problem or error
        raise ToolUnavailableError(str(problem))

    def _headers_for(self, origin: WebOrigin) -> Mapping[str, str]:
        """Return the headers for a listed origin. Raises `RequestRefusal` for another."""
        entries = [headers for entry, headers in self._entries if entry.covers(origin)]
        if not entries:
            listed = ", ".join(str(entry) for entry, _ in self._entries)
            raise RequestRefusal(f"{origin} is not listed; what is listed: {listed}")
        return {name: value for headers in reversed(entries) for name, value in headers.items()}

    async def _addresses(self, origin: WebOrigin) -> list[Address]:
        """Return the addresses of a host, all of them checked."""
        literal = address_of(origin.host)
        if literal is not None:
            found: list[Address] = [literal]
        else:
            try:
                rows = await asyncio.get_running_loop().getaddrinfo(
                    origin.host, origin.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
                )
            except (OSError, UnicodeError) as error:
                raise ToolUnavailableError(f"{origin.host} has no address: {error}") from None
            found = list(dict.fromkeys(ipaddress.ip_address(row[4][0]) for row in rows))
        for address in found:
            if not may_connect(address, origin.host, self._networks):
                raise RequestRefusal(
                    f"{origin.host} has the address {address}, which is not public; a world can allow it by `networks`"
                )
        return found


def _result(target: Target, response: Response) -> ToolResult:
    """Return the text of a response, or for what is no text its type and size."""
    content_type = email.message.Message()
    content_type["content-type"] = response.headers.get("content-type", "application/octet-stream")
    kind = content_type.get_content_type()
    data: dict[str, Any] = {
        "status": response.status,
        "url": str(target),
        "type": kind,
        "bytes": len(response.body),
        "more": response.is_cut,
    }
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity" or not TEXT_TYPES.fullmatch(kind):
        encoded = f", encoded by {encoding}" if encoding != "identity" else ""
        text = f"{kind}{encoded}: {len(response.body):,} bytes{' and more' if response.is_cut else ''}"
    else:
        text = _decoded(response.body, content_type.get_content_charset() or "utf-8")
        if JSON_TYPES.fullmatch(kind) and not response.is_cut:
            try:
                value = json.loads(text, parse_constant=_no_number)
                json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a character cannot be handed on
                data["json"] = value
            except (ValueError, RecursionError):
                pass  # it says that it is JSON; the text is there nevertheless
    if response.status >= 400:
        return ToolResult(f"status {response.status} of {target}: {text[:ERROR_CHARS_MAX]}", data, is_error=True)
    return ToolResult(text, data)


def _decoded(body: bytes, charset: str) -> str:
    return body.decode(charset if CHARSETS.fullmatch(charset.lower()) else "utf-8", "replace")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


_OUTPUT: Final = {
    "type": "object",
    "properties": {
        "status": {"type": "integer"},
        "url": {"type": "string", "description": "Where it was found, after redirects."},
        "type": {"type": "string"},
        "bytes": {"type": "integer", "minimum": 0},
        "more": {"type": "boolean", "description": "True if the body is longer than what was read."},
        "json": {"description": "The body, where it is JSON."},
    },
    "required": ["status", "url", "type", "bytes", "more"],
    "additionalProperties": False,
}
