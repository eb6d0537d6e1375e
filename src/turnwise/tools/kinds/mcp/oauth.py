"""Signing in as a program: the client credentials grant of OAuth, for a server that is a URL.

The official SDK has the flow: it asks the server who gives tokens for it, and that one for a token. What a server says
of this is untrusted: the world names the issuer, and connections go to hosts that it lists. Tokens are kept here, in
the memory of this process, and stand in nothing that leaves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import httpx2
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

from turnwise.tools.kinds.http_address import read_entry, read_target
from turnwise.tools.kinds.mcp.settings import OAuthSettings
from turnwise.tools.server import ToolOutcome, ToolQuestions, ToolResult, ToolSamples

TOKENS_KEPT_MAX: Final = 16
"""Tokens of which it is looked whether they stand in something, the latest."""

TOKEN_CHARS_MIN: Final = 8
"""Characters of a token from which on it is masked: fewer may be a part of any word."""


class SignedIn:
    """Credentials of a run, and the tokens that it was given for them. The SDK's `TokenStorage`."""

    def __init__(self, settings: OAuthSettings, url: str) -> None:
        self._tokens: OAuthToken | None = None
        self._seen: list[str] = []
        self.provider = _provider(settings, url, self)
        issuer = read_target(settings.issuer).origin
        self.origins = (read_target(url).origin, issuer, *[read_entry(host) for host in settings.hosts])

    async def get_tokens(self) -> OAuthToken | None:
        """Return the latest token."""
        return self._tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep a token, in the place of the one before."""
        self._tokens = tokens
        given = [tokens.access_token, tokens.refresh_token]
        self._seen += [token for token in given if token is not None and len(token) >= TOKEN_CHARS_MIN]
        del self._seen[:-TOKENS_KEPT_MAX]

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return None: the provider knows the client by itself."""
        return None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep nothing: no client is registered."""

    def masked(self, value: Any) -> Any:
        """Return a JSON value in whose texts no token stands."""
        if isinstance(value, str):
            for token in self._seen:
                value = value.replace(token, "[token]")
            return value
        if isinstance(value, Mapping):
            return {self.masked(key): self.masked(item) for key, item in value.items()}
        return [self.masked(item) for item in value] if isinstance(value, list) else value

    def masked_outcome(self, outcome: ToolOutcome) -> ToolOutcome:
        """Return what came of a call without tokens in it."""
        if not self._seen:
            return outcome
        match outcome:
            case ToolResult(text, data):
                return replace(outcome, text=self.masked(text), data=self.masked(data))
            case ToolQuestions(questions):
                asked = [replace(one, text=self.masked(one.text), schema=self.masked(one.schema)) for one in questions]
                return self._kept(replace(outcome, questions=tuple(asked)))
            case ToolSamples(samples):
                return self._kept(
                    replace(outcome, samples=tuple([replace(one, request=self.masked(one.request)) for one in samples]))
                )

    def _kept(self, asking: ToolQuestions | ToolSamples) -> ToolOutcome:
        """Return what is asked, unless a token stands in the state that the server would get back."""
        if self.masked(asking.state) == asking.state:
            return asking
        return ToolResult(
            "a token stands in the state that it gives to go on with, which would be recorded", None, True
        )


class _ScopeOfTheWorld(OAuthClientProvider):
    """A provider of the SDK, which would ask for whatever scope the server names, and not for the world's."""

    scope: str | None = None

    async def _perform_authorization(self) -> httpx2.Request:
        self.context.client_metadata.scope = self.scope or self.context.client_metadata.scope
        return await super()._perform_authorization()


class _BySecret(_ScopeOfTheWorld, ClientCredentialsOAuthProvider):
    """Sends a secret."""


class _ByKey(_ScopeOfTheWorld, PrivateKeyJWTOAuthProvider):
    """Signs what it says of itself."""


def _provider(settings: OAuthSettings, url: str, storage: SignedIn) -> OAuthClientProvider:
    provider: _BySecret | _ByKey
    if settings.private_key is None:
        secret = settings.client_secret or ""
        method: Final = "client_secret_post" if settings.method == "post" else "client_secret_basic"
        provider = _BySecret(url, storage, settings.client_id, secret, method, settings.scope, settings.issuer)
    else:
        signed = SignedJWTParameters(
            issuer=settings.client_id,
            subject=settings.client_id,
            signing_key=settings.private_key,
            signing_algorithm=settings.algorithm,
        )
        assertion = signed.create_assertion_provider()
        provider = _ByKey(url, storage, settings.client_id, assertion, settings.scope, settings.issuer)
    provider.scope = settings.scope
    return provider
