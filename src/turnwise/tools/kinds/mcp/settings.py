"""Settings of an MCP server: what the world's table has for it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from turnwise.core.tool_plan import SAMPLING_REQUESTS_MAX_DEFAULT, SAMPLING_TOKENS_MAX_DEFAULT
from turnwise.tools.kinds.http_address import AddressError, is_this_machine, read_entry, read_target
from turnwise.tools.kinds.settings import SettingsError, read_settings

ARGS_MAX: Final = 256
"""Arguments of a command."""

OAUTH_HOSTS_MAX: Final = 16
"""Hosts that take part in signing in."""

SAMPLING_MODELS_MAX: Final = 64
"""Models that a server may be granted."""

SAMPLING_REQUESTS_MAX: Final = 64
"""Requests to models within one call, at most."""

SAMPLING_TOKENS_MAX: Final = 65_536
"""Tokens of one answer of a model to a server, at most."""

_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS: Final = ("accept", "accept-encoding", "connection", "content-length", "content-type", "host")
"""Headers that the protocol sets."""

Revision = Literal["auto", "2026-07-28", "2025-11-25"]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class SamplingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Models that a server may ask in the middle of a call, and the bounds of that.

    `models`: names of models of the world, the first of which is asked where the server does not say which it would
    like. `requests_max`: requests within one call. `tokens_max`: tokens of one answer.
    """

    models: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=SAMPLING_MODELS_MAX)]
    requests_max: Annotated[int, msgspec.Meta(ge=1, le=SAMPLING_REQUESTS_MAX)] = SAMPLING_REQUESTS_MAX_DEFAULT
    tokens_max: Annotated[int, msgspec.Meta(ge=1, le=SAMPLING_TOKENS_MAX)] = SAMPLING_TOKENS_MAX_DEFAULT


class OAuthSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Credentials by which a run signs in as a program (client credentials), and where.

    `issuer`: who gives tokens, exactly as it calls itself. `client_id`: the name that it knows the run by.
    `client_secret`, or `private_key` (PEM) with its `algorithm`: what proves that. `method`: where the secret stands in
    a request for a token. `scope`: what is asked for. `hosts`: others than those of `url` and `issuer` that take part,
    such as the one that gives the token.
    """

    issuer: str
    client_id: str
    client_secret: str | None = None
    private_key: str | None = None
    algorithm: Algorithm = "RS256"
    method: Literal["basic", "post"] = "basic"
    scope: str | None = None
    hosts: Annotated[tuple[str, ...], msgspec.Meta(max_length=OAUTH_HOSTS_MAX)] = ()


class McpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the kind: either a command, or a URL.

    `command`: a program; a name is looked up in the `PATH` of the server's environment, a path is relative to the
    world file. `args`: its arguments. `folder`: its working folder, relative to the world file; without it, an empty
    one. `url`: where a server listens. `headers`: what is sent there with each request. `networks`: networks that are
    not public and may be reached nevertheless. `certificates`: a file of certificates that are trusted instead of the
    system's, relative to the world file. `revision`: `auto` asks the server which revision it speaks; `2025-11-25`
    begins with the handshake of that one and those before. `message_kib_max`: bytes of one message of the server.
    `sampling`: models that it may ask in the middle of a call; without it, none. `oauth`: how a run signs in; without
    it, by `headers` or not at all.
    """

    command: str | None = None
    args: Annotated[tuple[str, ...], msgspec.Meta(max_length=ARGS_MAX)] = ()
    folder: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    networks: tuple[str, ...] = ()
    certificates: str | None = None
    revision: Revision = "auto"
    message_kib_max: Annotated[int, msgspec.Meta(ge=1, le=64 * 1024)] = 4096
    sampling: SamplingSettings | None = None
    oauth: OAuthSettings | None = None


def settings_of(settings: Mapping[str, Any]) -> McpSettings:
    """Read settings. Raises `SettingsError`."""
    read = read_settings(McpSettings, settings)
    for key, message, hint in _problems(read):
        raise SettingsError(key, message, hint)
    return read


def _problems(read: McpSettings) -> Iterator[tuple[str, str, str]]:
    if (read.command is None) == (read.url is None):
        hint = 'Write command = "PROGRAM" for a program of this machine, or url = "https://HOST/mcp" for a server.'
        yield "command", "an MCP server has either a command or a url", hint
    elif read.url is None:
        for key in ("headers", "networks", "certificates", "oauth"):
            if getattr(read, key):
                yield key, "is for a server with a url, and this one has a command", "Take it out."
    else:
        for key in ("args", "folder"):
            if getattr(read, key):
                yield key, "is for a server with a command, and this one has a url", "Take it out."
        yield from _url_problems(read, read.url)


def _url_problems(read: McpSettings, url: str) -> Iterator[tuple[str, str, str]]:
    try:
        read_target(url)
    except AddressError as error:
        yield "url", str(error), 'Write url = "https://HOST/mcp".'
    for name, value in read.headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _OWN_HEADERS or name.lower().startswith("mcp-"):
            yield f"headers.{name}", "cannot be set", 'Write headers = { Authorization = { secret = "env:NAME" } }.'
        elif not value.isprintable():
            yield f"headers.{name}", "has characters that no header can have", "Take out what is not printed."
    if read.oauth is not None:
        yield from _oauth_problems(read, read.oauth)
    for text in read.networks:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            yield "networks", f"{text!r} is no network", 'Write networks = ["10.0.0.0/8"].'


def _oauth_problems(read: McpSettings, oauth: OAuthSettings) -> Iterator[tuple[str, str, str]]:
    try:
        issuer = read_target(oauth.issuer).origin
    except AddressError as error:
        yield "oauth.issuer", str(error), 'Write issuer = "https://HOST", as the issuer calls itself.'
    else:
        if issuer.scheme != "https" and not is_this_machine(issuer.host):
            hint = 'Write issuer = "https://HOST": a secret is sent there.'
            yield "oauth.issuer", "is asked without encryption", hint
    for index, host in enumerate(oauth.hosts):
        try:
            read_entry(host)
        except AddressError as error:
            yield f"oauth.hosts[{index}]", str(error), 'Write hosts = ["tokens.example.com"].'
    if (oauth.client_secret is None) == (oauth.private_key is None):
        hint = 'Write client_secret = { secret = "env:NAME" }, or private_key = { secret = "env:NAME" }.'
        yield "oauth.client_secret", "a client has either a secret or a private key", hint
    if any(name.lower() == "authorization" for name in read.headers):
        yield "headers.Authorization", "is what oauth sends", "Take out one of the two."
