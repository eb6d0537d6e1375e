"""One exchange with an endpoint: a request is sent, again if nobody has begun to answer it, and its answer is bounded.

Nothing is followed to another address, nothing is unpacked, no cookie is kept, and no variable of the environment
names a proxy or a password. A request is tried again where no connection came to be, where one ended before the
first byte of an answer, and where the endpoint says that it has not taken it (429, 503); never after that.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from turnwise.core.canonical import canonical
from turnwise.inference.endpoints.messages import KeyedEndpoint
from turnwise.inference.requests.refusal import ErrorKind, Refusal
from turnwise.visible_text import visible

TRIES_MAX: Final = 4
"""Times that a request is sent."""
PAUSE_S: Final = 0.5
"""Pause before a request is sent again; each further one is twice as long."""
PAUSE_S_MAX: Final = 30.0
"""Longest pause, whatever the endpoint says."""
SAID_CHARS_MAX: Final = 500
"""Characters of what an endpoint says of an error that an agent is told."""
_NOT_TAKEN: Final = (429, 503)
_KINDS: Final[dict[int, ErrorKind]] = {400: "refused", 404: "unknown", 413: "refused", 422: "refused"}
_WITHHELD: Final = "[key]"


def client() -> httpx.AsyncClient:
    """Make a client of HTTP that does what it is told and nothing by itself."""
    jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx.AsyncClient(
        verify=ssl.create_default_context(),
        trust_env=False,
        follow_redirects=False,
        timeout=None,  # each request as a whole has its own
        cookies=jar,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=16),
    )


async def exchange(http: httpx.AsyncClient, endpoint: KeyedEndpoint, path: str, members: dict[str, Any]) -> Any:
    """Ask an endpoint; return the JSON value of its answer. Raises Refusal that says why there is none."""
    try:
        async with asyncio.timeout(endpoint.seconds_max):
            return await _asked(http, endpoint, path, members)
    except TimeoutError:
        raise Refusal("unavailable", f"the endpoint has not answered within {endpoint.seconds_max} s") from None


async def _asked(http: httpx.AsyncClient, endpoint: KeyedEndpoint, path: str, members: dict[str, Any]) -> Any:
    content = canonical(members).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
    if endpoint.key is not None:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    for number in range(TRIES_MAX):
        is_last = number == TRIES_MAX - 1
        pause_s = PAUSE_S * 2**number
        request = http.build_request("POST", endpoint.url + path, content=content, headers=headers)
        try:
            response = await http.send(request, stream=True)
        except (httpx.TransportError, httpx.InvalidURL, ValueError, OSError) as error:
            if is_last:
                raise Refusal("unavailable", f"the endpoint cannot be reached: {_reason(error)}") from None
        else:
            try:
                if response.status_code not in _NOT_TAKEN or is_last:
                    return await _answer(response, endpoint)
                pause_s = max(pause_s, _wanted(response))
            finally:
                await response.aclose()
        await asyncio.sleep(min(pause_s, PAUSE_S_MAX))
    raise AssertionError("the last try returns or raises")


async def _answer(response: httpx.Response, endpoint: KeyedEndpoint) -> Any:
    status = response.status_code
    if 300 <= status < 400:
        raise Refusal("unavailable", f"the endpoint redirects ({status}), which is not followed")
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise Refusal("unavailable", "the endpoint answers packed, which it was asked not to")
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > endpoint.reply_bytes_max:
                raise Refusal(
                    "unavailable",
                    f"the answer of the endpoint has more than {endpoint.reply_bytes_max // 1024:,} KiB "
                    f"(reply_kib of models.{endpoint.name})",
                )
    except (httpx.TransportError, OSError) as error:
        raise Refusal("unavailable", f"the endpoint has broken off its answer: {_reason(error)}") from None
    value = _json(bytes(body))
    if status in (401, 403):
        hint = f"key of models.{endpoint.name}" if endpoint.key is None else "the key"
        raise Refusal("unavailable", f"the endpoint does not let this run in ({status}): look at {hint}")
    if status != 200:
        raise _refused(status, value)
    if not isinstance(value, dict):
        raise Refusal("unavailable", "the answer of the endpoint is no JSON object")
    return value


def _refused(status: int, value: Any) -> Refusal:
    found = value.get("error", value) if isinstance(value, dict) else {}
    said, code = (found.get("message"), found.get("code")) if isinstance(found, dict) else (found, None)
    text = f": {visible(said)[:SAID_CHARS_MAX]}" if isinstance(said, str) and said else ""
    kind = "context_full" if code == "context_length_exceeded" else _KINDS.get(status, "unavailable")
    return Refusal(kind, f"the endpoint answers {status}{text}")


def without_key(text: str, endpoint: KeyedEndpoint) -> str:
    """Return a text without the key, which an endpoint may have repeated."""
    if not endpoint.key:
        return text
    return text.replace(endpoint.key, _WITHHELD).replace(json.dumps(endpoint.key)[1:-1], _WITHHELD)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None


def _wanted(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else 0.0


def _reason(error: Exception) -> str:
    return visible(str(error) or type(error).__name__)[:200]
