"""Signing in as a program: an issuer of tokens and a server that wants them, both real, on this machine."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.tools.kinds.mcp.serving import listening, listening_at, started
from turnwise.tools.kinds import mcp as kind
from turnwise.tools.server import ToolResult, ToolUnavailableError

pytestmark = pytest.mark.anyio

SECRET = "the secret of the run"


@dataclass
class Issuer:
    """A giver of tokens, which are good for so many requests; it notes what it is asked."""

    url: str = ""
    token_url: str | None = None
    names_itself: str | None = None
    uses: int = 1_000
    key: Any = None
    asked: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    good: dict[str, int] = field(default_factory=dict)
    resources: dict[str, str] = field(default_factory=dict)

    def app(self) -> Starlette:
        async def take(request: Request) -> Response:
            self.paths.append(request.url.path)
            if request.url.path == "/token":
                return await self.token(request)
            if request.url.path == "/elsewhere":
                return RedirectResponse("http://127.0.0.1:9/token", status_code=307)
            if "oauth-authorization-server" not in request.url.path:
                return Response(status_code=404)
            return JSONResponse(
                {
                    "issuer": self.names_itself or self.url,
                    "token_endpoint": self.token_url or f"{self.url}/token",
                    "authorization_endpoint": f"{self.url}/authorize",
                    "response_types_supported": ["code"],
                    "grant_types_supported": ["client_credentials"],
                }
            )

        return Starlette(routes=[Route("/{path:path}", take, methods=["GET", "POST"])])

    async def token(self, request: Request) -> Response:
        form = {key: str(value) for key, value in (await request.form()).items()}
        self.asked.append(form)
        if not self.knows(form, request.headers.get("authorization", "")):
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        token = f"token-{len(self.asked)}-{'x' * 20}"
        self.good[token], self.resources[token] = self.uses, form["resource"]
        return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    def knows(self, form: dict[str, str], header: str) -> bool:
        if "client_assertion" in form:
            claims = jwt.decode(form["client_assertion"], self.key.public_key(), ["ES256"], audience=self.url)
            return bool(claims["sub"] == "run")
        if header.startswith("Basic "):
            name, _, secret = base64.b64decode(header[6:]).decode().partition(":")
            return (unquote(name), unquote(secret)) == ("run", SECRET)
        return (form.get("client_id"), form.get("client_secret")) == ("run", SECRET)

    async def verify_token(self, token: str) -> AccessToken | None:
        """The SDK's `TokenVerifier`, of the server that wants tokens."""
        if self.good.get(token, 0) < 1:
            return None
        self.good[token] -= 1
        return AccessToken(token=token, client_id="run", scopes=["tools"], resource=self.resources[token])


def tools(issuer: Issuer, advertised: str, port: int) -> Any:
    auth = AuthSettings(
        issuer_url=advertised,  # type: ignore[arg-type]  # made of text
        resource_server_url=f"http://127.0.0.1:{port}/mcp",  # type: ignore[arg-type]
        required_scopes=["tools"],
        validate_token_resource=True,
    )
    server = MCPServer("guarded", log_level="CRITICAL", auth=auth, token_verifier=issuer)

    @server.tool()
    def whoami(ctx: Context) -> str:
        """Tell with what somebody has come."""
        request = ctx.request_context.request
        return f"you came with {request.headers['authorization']}"

    return server.streamable_http_app()


@contextmanager
def guarded(issuer: Issuer, advertised: str | None = None) -> Iterator[dict[str, Any]]:
    """Start both; yield the settings of a run that may come in."""
    with listening(issuer.app()) as port:
        issuer.url = f"http://127.0.0.1:{port}"
        with listening_at(lambda port: tools(issuer, advertised or issuer.url, port)) as port:
            oauth = {"issuer": issuer.url, "client_id": "run", "client_secret": SECRET}
            yield {"url": f"http://127.0.0.1:{port}/mcp", "oauth": oauth}


@pytest.mark.parametrize("revision", ["auto", "2025-11-25"])
@pytest.mark.parametrize("method", ["basic", "post"])
async def test_a_run_signs_in_by_its_secret_and_is_told_no_token(revision: str, method: str) -> None:
    issuer = Issuer()
    with guarded(issuer) as settings:
        settings["oauth"] |= {"method": method, "scope": "tools"}
        async with started({**settings, "revision": revision}) as server:
            assert [spec.name for spec in await server.tools()] == ["whoami"]
            for _ in range(2):
                told = await server.call("whoami", {})
                assert isinstance(told, ToolResult)
                assert told.text == "you came with Bearer [token]"
                assert told.data == {"result": "you came with Bearer [token]"}
    (asked,) = issuer.asked
    assert (asked["grant_type"], asked["scope"]) == ("client_credentials", "tools")
    assert asked["resource"] == settings["url"]


async def test_a_run_signs_in_by_a_key() -> None:
    issuer = Issuer(key=ec.generate_private_key(ec.SECP256R1()))
    pem = issuer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with guarded(issuer) as settings:
        oauth = {"issuer": issuer.url, "client_id": "run", "private_key": pem, "algorithm": "ES256"}
        async with started({**settings, "oauth": oauth}) as server:
            told = await server.call("whoami", {})
    assert isinstance(told, ToolResult)
    assert not told.is_error, told
    assert len(issuer.asked) == 1


@pytest.mark.parametrize(("scope", "wanted"), [("tools read", "tools read"), (None, "tools")])
async def test_the_world_says_what_is_asked_for_and_the_server_where_it_says_nothing(
    scope: str | None, wanted: str
) -> None:
    issuer = Issuer(key=ec.generate_private_key(ec.SECP256R1()))
    pem = issuer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with guarded(issuer) as settings:
        by_key = {"issuer": issuer.url, "client_id": "run", "private_key": pem, "algorithm": "ES256"}
        for oauth in (settings["oauth"], by_key):
            async with started({**settings, "oauth": {**oauth, **({} if scope is None else {"scope": scope})}}):
                pass
    assert [asked["scope"] for asked in issuer.asked] == [wanted, wanted]


async def test_a_key_that_is_none_is_told_and_does_not_show() -> None:
    issuer = Issuer()
    with guarded(issuer) as settings:
        oauth = {"issuer": issuer.url, "client_id": "run", "private_key": "a key of nobody"}
        with pytest.raises(ToolUnavailableError) as caught:
            async with started({**settings, "oauth": oauth}):
                pass
    assert "key of nobody" not in str(caught.value)
    assert issuer.asked == []


async def test_a_token_that_is_good_no_more_is_replaced() -> None:
    issuer = Issuer(uses=4)
    with guarded(issuer) as settings:
        async with started(settings) as server:
            for _ in range(6):
                told = await server.call("whoami", {})
                assert isinstance(told, ToolResult)
                assert told.text == "you came with Bearer [token]"
    assert len(issuer.asked) > 1


async def test_a_wrong_secret_is_told_and_does_not_show() -> None:
    issuer = Issuer()
    with guarded(issuer) as settings:
        settings["oauth"]["client_secret"] = "a secret of others"
        with pytest.raises(ToolUnavailableError, match="invalid_client") as caught:
            async with started(settings):
                pass
    assert "secret of others" not in str(caught.value)
    assert issuer.asked


async def test_a_server_that_leads_elsewhere_gets_no_secret_there() -> None:
    """Its metadata names another issuer: nobody connects there, and nobody is asked for a token."""
    issuer, other = Issuer(), Issuer()
    with listening(other.app()) as port:
        other.url = f"http://127.0.0.1:{port}"
        with guarded(issuer, other.url) as settings:
            with pytest.raises(ToolUnavailableError):
                async with started(settings):
                    pass
            assert other.paths == issuer.asked == []
            settings["oauth"]["hosts"] = [other.url]  # even where it may be asked, it is not the issuer
            with pytest.raises(ToolUnavailableError, match="issuer"):
                async with started(settings):
                    pass
            assert other.asked == issuer.asked == []
            settings["oauth"]["issuer"] = other.url  # the control: where it is the issuer, it is asked
            with pytest.raises(ToolUnavailableError):
                async with started(settings):
                    pass
            assert other.asked


async def test_a_token_is_asked_for_at_a_listed_host_only() -> None:
    issuer, other = Issuer(), Issuer()
    other.good, other.resources = issuer.good, issuer.resources
    with listening(other.app()) as port:
        issuer.token_url = f"http://127.0.0.1:{port}/token"
        with guarded(issuer) as settings:
            with pytest.raises(ToolUnavailableError, match="is not listed"):
                async with started(settings):
                    pass
            assert other.paths == []
            settings["oauth"]["hosts"] = [f"http://127.0.0.1:{port}"]
            async with started(settings) as server:
                assert [spec.name for spec in await server.tools()] == ["whoami"]
            assert other.paths == ["/token"]


async def test_an_issuer_that_calls_itself_otherwise_or_sends_elsewhere_gets_no_secret() -> None:
    issuer = Issuer(names_itself="https://issuer.example.com")
    with guarded(issuer) as settings:
        with pytest.raises(ToolUnavailableError, match="issuer"):
            async with started(settings):
                pass
        assert issuer.asked == []
        issuer.names_itself, issuer.token_url = None, f"{issuer.url}/elsewhere"
        with pytest.raises(ToolUnavailableError, match="307"):
            async with started(settings):
                pass
    assert issuer.asked == []


SIGNED = {"issuer": "https://issuer.example.com", "client_id": "run", "client_secret": {"secret": "env:NAME"}}


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({}, None),
        ({"issuer": "http://127.0.0.1:8000"}, None),
        ({"issuer": "http://issuer.example.com"}, "oauth.issuer"),
        ({"issuer": "issuer.example.com"}, "oauth.issuer"),
        ({"client_secret": "in plain text"}, "oauth.client_secret"),
        ({"private_key": "in plain text", "client_secret": None}, "oauth.private_key"),
        ({"client_secret": None}, "oauth.client_secret"),
        ({"private_key": {"secret": "env:KEY"}}, "oauth.client_secret"),
        ({"hosts": ["tokens.example.com", "a b"]}, "oauth.hosts[1]"),
        ({"method": "none"}, "oauth.method"),
        ({"other": 1}, "oauth"),
    ],
)
def test_settings_are_checked_before_a_run(changed: dict[str, Any], key: str | None) -> None:
    oauth = {name: value for name, value in {**SIGNED, **changed}.items() if value is not None}
    found = list(kind.check({"url": "https://tools.example.com/mcp", "oauth": oauth}))
    assert [one[0] for one in found] == ([] if key is None else [key])


def test_a_command_signs_in_nowhere_and_nobody_twice() -> None:
    (found,) = kind.check({"command": "server", "oauth": SIGNED})
    assert found[0] == "oauth"
    headers = {"authorization": {"secret": "env:TOKEN"}}
    (found,) = kind.check({"url": "https://tools.example.com/mcp", "oauth": SIGNED, "headers": headers})
    assert found[0] == "headers.Authorization"
