"""Kind `http`: only listed hosts, only checked addresses, only bounded bytes, whatever the other side says."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.tools.kinds.serving import tools
from turnwise.tools.kinds import http_exchange
from turnwise.tools.kinds.http import HttpServer, settings_of
from turnwise.tools.kinds.http import server as make
from turnwise.tools.kinds.settings import SettingsError
from turnwise.tools.server import ToolResult, ToolUnavailableError

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


class Site:
    """A web server on the loopback that says whatever a test wants, and keeps the heads of what it was asked."""

    def __init__(self, answer: bytes | Answer) -> None:
        self._answer = answer
        self.asked: list[str] = []
        self.port = 0

    @contextlib.asynccontextmanager
    async def open(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.decode())
            if isinstance(self._answer, bytes):
                writer.write(self._answer)
                await writer.drain()
            else:
                await self._answer(head, writer)
        writer.close()


def fetch(answer: bytes | Answer, url: str = "http://127.0.0.1:PORT/x", **settings: Any) -> tuple[ToolResult, Site]:
    """Fetch a URL of a site with this answer; `PORT` stands for its port."""
    site = Site(answer)

    async def run() -> ToolResult:
        async with site.open():
            return await ask(url, port=site.port, **settings)

    return asyncio.run(run()), site


async def ask(url: str, *, port: int, base: Path | None = None, **settings: Any) -> ToolResult:
    hosts = settings.pop("hosts", ["http://127.0.0.1:PORT"])
    found = {**settings, "hosts": [host.replace("PORT", str(port)) for host in hosts]}
    if "headers" in found:
        found["headers"] = {name.replace("PORT", str(port)): value for name, value in found["headers"].items()}
    server = HttpServer(settings_of(found), base or Path())
    await server.start()
    try:
        (spec,) = await server.tools()
        args = {"url": url.replace("PORT", str(port))}
        jsonschema.validate(args, spec.input_schema)
        result = await server.call("get", args)
        if not result.is_error:
            jsonschema.validate(result.data, spec.output_schema)
        return result
    finally:
        await server.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Names and what each look-up of them gives, in order, the last again and again; other names are unknown."""
    known: dict[str, list[list[str]]] = {}

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


def test_a_text() -> None:
    result, site = fetch(PLAIN, "http://127.0.0.1:PORT/a%20b?q=ö#part")
    assert result == ToolResult(
        "hello",
        {
            "status": 200,
            "url": f"http://127.0.0.1:{site.port}/a%20b?q=%C3%B6",
            "type": "text/plain",
            "bytes": 5,
            "more": False,
        },
    )
    assert site.asked[0].startswith("GET /a%20b?q=%C3%B6 HTTP/1.1\r\n")
    assert f"\r\nhost: 127.0.0.1:{site.port}\r\n" in site.asked[0].lower()
    assert "cookie" not in site.asked[0].lower()


def test_json() -> None:
    body = b'{"price": 3}'
    result, _ = fetch(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n" + body)
    assert (result.text, result.data["json"]) == ('{"price": 3}', {"price": 3})


@pytest.mark.parametrize("body", [b"{", b"[" * 90_000, b"NaN", b'"\\ud800"', b"1" * 5000, b"\xff"])
def test_what_only_says_that_it_is_json_is_text(body: bytes) -> None:
    result, _ = fetch(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + body)
    assert not result.is_error
    assert "json" not in result.data
    assert len(result.text) == len(body)


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/html; charset=iso-8859-1", b"zw\xf6lf", "zwölf"),
        ("text/plain; charset=punycode", b"a" * 100, "a" * 100),
        ("text/plain; charset=zlib_codec", b"abc", "abc"),
        ("text/plain", b"\xff\x1b[2J", "�\x1b[2J"),
        ("image/png", b"12345", "image/png: 5 bytes"),
        ("nonsense", b"12345", "12345"),
    ],
)
def test_other_types(kind: str, body: bytes, text: str) -> None:
    result, _ = fetch(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + body)
    assert result.text == text


def test_what_was_compressed_unasked_is_not_unpacked() -> None:
    result, site = fetch(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    )
    assert result.text == "text/plain, encoded by gzip: 3 bytes"
    assert "accept-encoding: identity" in site.asked[0].lower()


def test_a_status_of_failure_is_an_error() -> None:
    result, site = fetch(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 10_000)
    assert result.is_error
    assert result.text == f"status 404 of http://127.0.0.1:{site.port}/x: {'x' * 2000}"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/", "http://127.0.0.1:1 is not listed; what is listed: http://127.0.0.1:"),
        ("https://127.0.0.1:PORT/", "is not listed"),
        ("http://127.1:PORT/", "is not listed"),
        ("http://localhost:PORT/", "is not listed"),
        ("http://[::ffff:127.0.0.1]:PORT/", "is not listed"),
        ("http://user@127.0.0.1:PORT/", "user name"),
        ("file:///etc/passwd", "begins with https"),
        ("http://127.0.0.1:PORT/\r\nX: y", "control character"),
    ],
)
def test_other_urls_are_refused_and_nobody_is_asked(url: str, words: str) -> None:
    result, site = fetch(PLAIN, url)
    assert result.is_error
    assert words in result.text
    assert site.asked == []


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["169.254.169.254"], ["1.1.1.1", "10.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"]],
)
def test_a_listed_name_with_an_address_that_is_not_public(
    names: dict[str, list[list[str]]], addresses: list[str]
) -> None:
    names["api.example.com"] = [addresses]
    result, site = fetch(PLAIN, "http://api.example.com:PORT/", hosts=["http://api.example.com:PORT"])
    assert result.is_error
    assert "which is not public; a world can allow it by `networks`" in result.text
    assert site.asked == []


def test_a_network_can_be_allowed(names: dict[str, list[list[str]]]) -> None:
    names["api.example.com"] = [["127.0.0.1"]]
    settings: dict[str, Any] = {"hosts": ["http://api.example.com:PORT"], "networks": ["127.0.0.0/8"]}
    result, site = fetch(PLAIN, "http://api.example.com:PORT/", **settings)
    assert result.text == "hello"
    assert f"host: api.example.com:{site.port}" in site.asked[0].lower()


def test_the_connection_goes_to_the_address_that_was_checked(names: dict[str, list[list[str]]]) -> None:
    """The name says something else the next time that it is asked: nobody asks it again."""
    names["api.example.com"] = [["127.0.0.1"], ["10.0.0.1"]]
    settings: dict[str, Any] = {"hosts": ["http://api.example.com:PORT"], "networks": ["127.0.0.1/32"]}
    first, site = fetch(PLAIN, "http://api.example.com:PORT/", **settings)
    assert (first.text, len(site.asked)) == ("hello", 1)
    second, site = fetch(PLAIN, "http://api.example.com:PORT/", **settings)
    assert second.is_error
    assert site.asked == []


def test_a_redirect_to_a_listed_host_is_followed() -> None:
    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        moved = b"HTTP/1.1 302 Found\r\nLocation: /there?x\r\nContent-Length: 0\r\n\r\n"
        writer.write(PLAIN if head.startswith(b"GET /there?x") else moved)
        await writer.drain()

    result, site = fetch(answer)
    assert (result.text, result.data["url"]) == ("hello", f"http://127.0.0.1:{site.port}/there?x")


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://evil.example/",
        "//evil.example/",
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
        "https://127.0.0.1/",
        "http://user:secret@127.0.0.1/",
        "http://[::1",
        "http://zw\xf6lf/",
    ],
)
def test_a_redirect_elsewhere_is_not_followed(location: str) -> None:
    head = f"HTTP/1.1 307 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    result, site = fetch(head.encode("latin-1"))
    assert result.is_error
    assert "redirects elsewhere, which is not followed" in result.text
    assert len(site.asked) == 1


def test_redirects_without_end() -> None:
    result, site = fetch(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", redirects_max=3)
    assert result == ToolResult("more than 3 redirects", is_error=True)
    assert len(site.asked) == 4


def test_headers_go_to_their_own_host_only(names: dict[str, list[list[str]]]) -> None:
    """The host with the secret redirects to another that is listed: the secret stays behind."""
    names["a.example"] = names["b.example"] = [["127.0.0.1"]]

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        moved = f"HTTP/1.1 302 Found\r\nLocation: http://b.example:{port}/\r\nContent-Length: 0\r\n\r\n"
        writer.write(moved.encode() if b"a.example" in head else PLAIN)
        await writer.drain()

    result, site = fetch(
        answer,
        "http://a.example:PORT/",
        hosts=["http://a.example:PORT", "http://b.example:PORT"],
        networks=["127.0.0.1/32"],
        headers={"http://a.example:PORT": {"Authorization": "Bearer sesame"}},
    )
    assert result.text == "hello"
    assert ["sesame" in head for head in site.asked] == [True, False]
    assert "sesame" not in repr(result)


def test_a_body_of_just_the_bound_is_whole() -> None:
    for size, is_cut in ((2048, False), (2049, True)):
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
        result, _ = fetch(head.encode() + b"x" * size, body_kib_max=2)
        assert (len(result.text), result.data["more"]) == (2048, is_cut)


def test_interim_responses_are_passed_over() -> None:
    result, _ = fetch(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + PLAIN)
    assert (result.text, result.data["status"]) == ("hello", 200)


def test_a_body_is_cut() -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:  # until nobody listens any more
            writer.write(b"x" * 65_536)
            await writer.drain()

    result, _ = fetch(answer, body_kib_max=2)
    assert (len(result.text), result.data["bytes"], result.data["more"]) == (2048, 2048, True)


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"X-Header: " + b"x" * 1000 + b"\r\n",
        b"x" * 1000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;" + b"x" * 20_000 + b"\r\nx\r\n",
    ],
)
def test_output_without_end_is_ended(endless: bytes) -> None:
    begin = b"" if endless.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n"
    repeated = endless.partition(b"\r\n\r\n")[2] if b"chunked" in endless else endless

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(begin + endless)
        while True:
            writer.write(repeated)
            await writer.drain()

    with pytest.raises(ToolUnavailableError) as caught:
        fetch(answer)
    bounds = (
        f"more than {http_exchange.OVERHEAD_BYTES_MAX:,} bytes beside the body",
        "Receive buffer too long",
        "illegal",
    )
    assert any(bound in str(caught.value) for bound in bounds)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\nBad Header\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
    ],
)
def test_what_is_no_response(answer: bytes) -> None:
    with pytest.raises(ToolUnavailableError, match=r"http://127.0.0.1:"):
        fetch(answer)


def test_a_server_that_says_nothing() -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ToolUnavailableError, match=r"no response within 0.05 seconds"):
        fetch(answer, request_seconds_max=0.05)


def test_nobody_there(names: dict[str, list[list[str]]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ToolUnavailableError, match=r"Connect call failed|refused"):
        asyncio.run(ask("http://127.0.0.1:PORT/", port=port))
    with pytest.raises(ToolUnavailableError, match=r"nowhere.example has no address"):
        asyncio.run(ask("http://nowhere.example/", port=port, hosts=["http://nowhere.example"]))


def test_the_next_address_is_tried(names: dict[str, list[list[str]]]) -> None:
    names["a.example"] = [["127.0.0.2", "127.0.0.1"]]
    result, _ = fetch(PLAIN, "http://a.example:PORT/", hosts=["http://a.example:PORT"], networks=["127.0.0.0/8"])
    assert result.text == "hello"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for a.example that signs itself, in a file, and a server's context with it."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return folder, context


def test_https(names: dict[str, list[list[str]]], authority: tuple[Path, ssl.SSLContext]) -> None:
    """The certificate is for the name, though the connection goes to an address."""
    folder, context = authority
    names["a.example"] = names["b.example"] = [["127.0.0.1"]]
    settings: dict[str, Any] = {
        "hosts": ["a.example:PORT", "b.example:PORT"],
        "networks": ["127.0.0.1/32"],
        "base": folder,
    }

    async def run(url: str, **more: Any) -> ToolResult:
        async with Site(PLAIN).open(context) as site:
            return await ask(url, port=site.port, **settings, **more)

    assert asyncio.run(run("https://a.example:PORT/", certificates="certificate.pem")).text == "hello"
    with pytest.raises(ToolUnavailableError, match="its certificate is not accepted: Hostname mismatch"):
        asyncio.run(run("https://b.example:PORT/", certificates="certificate.pem"))
    with pytest.raises(ToolUnavailableError, match="its certificate is not accepted: self-signed certificate"):
        asyncio.run(run("https://a.example:PORT/"))
    with pytest.raises(ToolUnavailableError, match=r"the certificates missing.pem"):
        asyncio.run(run("https://a.example:PORT/", certificates="missing.pem"))


def test_there_is_no_other_argument_than_the_url() -> None:
    server = make({"hosts": ["a.example", "http://b.example:8000"]}, Path())
    (spec,) = tools(server).values()
    assert spec.description == "Fetch a URL by GET. Hosts: https://a.example, http://b.example:8000."
    for args in ({}, {"url": 1}, {"url": "https://a.example/", "method": "POST"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(args, spec.input_schema)


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({}, "hosts"),
        ({"hosts": []}, "hosts"),
        ({"hosts": ["*"]}, "hosts"),
        ({"hosts": ["a.example"], "networks": ["10.0.0.1/8"]}, "networks"),
        ({"hosts": ["a.example"], "headers": {"b.example": {}}}, "headers.b.example"),
        ({"hosts": ["a.example"], "headers": {"a.example": {"Host": "b"}}}, "headers.a.example"),
        ({"hosts": ["a.example"], "headers": {"a.example": {"X": "a\r\nY: b"}}}, "headers.a.example"),
        ({"hosts": ["a.example"], "headers": {"a.example": {"X:": "a"}}}, "headers.a.example"),
        ({"hosts": ["a.example"], "body_kib_max": 1 << 30}, "body_kib_max"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of(settings)
    assert where in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_what_comes_with_an_extra_is_missed_when_the_server_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "turnwise.tools.kinds.http_exchange", raising=False)
    monkeypatch.setitem(sys.modules, "h11", None)
    with pytest.raises(ToolUnavailableError, match=r"install turnwise\[tools\]"):
        asyncio.run(ask("http://127.0.0.1:1/", port=1))
