"""Addresses and origins: which a request may go to, decided before anything is connected.

An address is public if it lies in none of the networks that IANA sets apart. The list is written out here, since the
standard library's idea of it changes from version to version.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Scheme = Literal["http", "https"]

URL_CHARS_MAX: Final = 8192
PORTS: Final[dict[Scheme, int]] = {"http": 80, "https": 443}

NOT_PUBLIC_4: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's translation
        "127.0.0.0/8",  # this machine
        "169.254.0.0/16",  # link-local: the metadata of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # many receivers
        "240.0.0.0/4",  # reserved, and all receivers
    )
)
"""IPv4 networks that are not public."""

PUBLIC_6: Final = ipaddress.IPv6Network("2000::/3")
NOT_PUBLIC_6: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocols, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which holds an IPv4 address
        "3fff::/20",  # documentation
    )
)
"""IPv6 networks within `PUBLIC_6` that are not public."""

TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses behind NAT64: what the last four bytes say."""

_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
_ORIGIN: Final = re.compile(r"(?:(?P<scheme>https?)://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/\[\]]+)(?::(?P<port>[0-9]+))?")


class AddressError(ValueError):
    """A URL or an origin that is none, or that may not be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class WebOrigin:
    """Scheme, host and port."""

    scheme: Scheme
    """Scheme."""
    host: str
    """Name in lower case, without a dot at its end; or an address without brackets. In an entry of a list, `*.` at the
    beginning stands for one or more labels."""
    port: int
    """Port."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    def covers(self, other: WebOrigin) -> bool:
        """Return whether an entry of a list stands for `other`."""
        if (self.scheme, self.port) != (other.scheme, other.port):
            return False
        if self.host.startswith("*."):
            return address_of(other.host) is None and other.host.endswith(self.host[1:])
        return self.host == other.host

    @property
    def authority(self) -> str:
        """Value of the header `Host`."""
        return str(self).partition("://")[2]


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in parts."""

    origin: WebOrigin
    """Whom to ask."""
    path: str
    """Path and query, as they are sent."""

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"


def read_entry(text: str) -> WebOrigin:
    """Return the origin of an entry such as `api.example.com`, `*.example.com:8443` or `http://127.0.0.1:8000`.

    Without a scheme it is https. Raises `AddressError`.
    """
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise AddressError(f"{text!r} is no host: [http://]HOST[:PORT]")
    scheme: Scheme = "http" if match["scheme"] == "http" else "https"
    wild = match["host"].startswith("*.")
    host = read_host(match["host"][2:] if wild else match["host"])
    if wild and ("." not in host or address_of(host) is not None):
        raise AddressError(f"{text!r} is too wide: after `*.` comes a domain with a dot in it")
    return WebOrigin(scheme, f"*.{host}" if wild else host, _port(match["port"], scheme))


def read_target(text: str) -> Target:
    """Return the parts of an absolute URL; what follows `#` is not sent. Raises `AddressError`."""
    if len(text) > URL_CHARS_MAX:
        raise AddressError(f"the URL has {len(text):,} characters; at most {URL_CHARS_MAX:,} are allowed")
    if re.search(r"[\x00-\x20\x7f\\]", text):
        raise AddressError("the URL has a space, a control character or a backslash")
    try:
        parts = urlsplit(text)
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    except ValueError as error:  # also of half a character, which cannot be quoted
        raise AddressError(f"it is no URL: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise AddressError("a URL begins with https:// (or http://, for hosts that the world lists so)")
    scheme: Scheme = "http" if parts.scheme == "http" else "https"
    if "@" in parts.netloc:
        raise AddressError("the URL has a user name or a password in it")
    match = _ORIGIN.fullmatch(parts.netloc)
    if match is None or match["scheme"]:
        raise AddressError("the URL has no host")
    origin = WebOrigin(scheme, read_host(match["host"]), _port(match["port"], scheme))
    return Target(origin, f"{path}?{query}" if query else path)


def is_this_machine(host: str) -> bool:
    """Return whether a host, as `read_host` gives it, is `localhost` or an address of the machine itself."""
    address = address_of(host)
    return host == "localhost" if address is None else address.is_loopback


def read_host(text: str) -> str:
    """Return a host as it is compared: lower case, addresses in their usual form. Raises `AddressError`."""
    bare = text[1:-1] if text.startswith("[") else text
    address = address_of(bare)
    if address is not None and (address.version == 6) == text.startswith("["):
        return str(address)
    host = text.lower().removesuffix(".")
    if not _HOST.fullmatch(host) or ".." in host:
        raise AddressError(f"{text!r} is no name of a host; names with other letters are written as xn--…")
    return host


def address_of(host: str) -> Address | None:
    """Return the address that `host` is in its usual form, or None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return None if isinstance(address, ipaddress.IPv6Address) and address.scope_id else address


def is_public(address: Address) -> bool:
    """Return whether an address is public, and so is the IPv4 address that it stands for, if it does."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        if address in TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is None:
            return address in PUBLIC_6 and not any(address in network for network in NOT_PUBLIC_6)
        address = inner
    return not any(address in network for network in NOT_PUBLIC_4)


def may_connect(address: Address, host: str, networks: Sequence[Network]) -> bool:
    """Return whether a request for `host` may go to `address`.

    It may if the address is public, if the world lists it as the host itself, or a network that it is in.
    """
    if is_public(address) or address == address_of(host):
        return True
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    one = mapped or address
    return any(one.version == network.version and one in network for network in networks)


def _port(text: str | None, scheme: Scheme) -> int:
    if text is None:
        return PORTS[scheme]
    if len(text) > 5 or not 0 < int(text) < 65_536:
        raise AddressError(f"there is no port {text}")
    return int(text)
