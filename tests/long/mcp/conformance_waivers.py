"""Scenarios of the conformance suite that are expected to fail, with reasons; one that passes has no place here."""

from __future__ import annotations

from typing import Final

NO_SIGNING_IN: Final = (
    "a run signs in nowhere: nobody is there to do it, and the metadata of authorization servers leads to hosts that "
    "the world does not list; a token is a header, by reference to a secret"
)

CLIENT: Final[dict[str, str]] = {
    f"auth/{name}": NO_SIGNING_IN
    for name in (
        "metadata-default",
        "metadata-var1",
        "metadata-var2",
        "metadata-var3",
        "basic-cimd",
        "scope-from-www-authenticate",
        "scope-from-scopes-supported",
        "scope-omitted-when-undefined",
        "scope-step-up",
        "scope-retry-limit",
        "token-endpoint-auth-basic",
        "token-endpoint-auth-post",
        "token-endpoint-auth-none",
        "pre-registration",
        "resource-mismatch",
        "offline-access-scope",
        "offline-access-not-supported",
        "authorization-server-migration",
        "iss-supported",
        "iss-not-advertised",
        "iss-supported-missing",
        "iss-wrong-issuer",
        "iss-unexpected",
        "iss-normalized",
        "metadata-issuer-mismatch",
    )
}
