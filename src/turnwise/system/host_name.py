"""The name of a machine that an HTTP request is addressed to."""

from __future__ import annotations

from collections.abc import Sequence


def host_name(hosts: Sequence[str]) -> str | None:
    """Return the name in a request's `Host` headers, in lower case, without its port; None unless there is just one.

    An IPv6 address keeps its brackets (RFC 3986, section 3.2.2). A request with several is refused by whoever compares
    this with names: which of them counts, servers and proxies do not agree on.
    """
    if len(hosts) != 1:
        return None
    host = hosts[0].lower()
    name, colon, port = host.rpartition(":")
    return name if colon and (not port or port.isdecimal()) else host
