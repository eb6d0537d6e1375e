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


NO_SUCH_TOOL: Final = "it calls a tool of the suite's own, which a server has for the suite alone"
NOT_OFFERED: Final = "the server offers tools, and neither resources nor prompts nor completions nor logging"

SERVER: Final[dict[str, str]] = {
    **dict.fromkeys(
        (
            "tools-call-image",
            "tools-call-audio",
            "tools-call-embedded-resource",
            "tools-call-mixed-content",
            "tools-call-with-logging",
            "tools-call-with-progress",
            "tools-call-sampling",
            "tools-call-elicitation",
            "elicitation-sep1034-defaults",
            "elicitation-sep1330-enums",
            "input-required-result-basic-elicitation",
            "input-required-result-basic-sampling",
            "input-required-result-basic-list-roots",
            "input-required-result-request-state",
            "input-required-result-multiple-input-requests",
            "input-required-result-multi-round",
            "input-required-result-non-tool-request",
            "input-required-result-result-type",
            "input-required-result-tampered-state",
            "input-required-result-capability-check",
        ),
        NO_SUCH_TOOL,
    ),
    **dict.fromkeys(
        (
            "logging-set-level",
            "completion-complete",
            "resources-read-text",
            "resources-read-binary",
            "resources-templates-read",
            "resources-subscribe",
            "resources-unsubscribe",
            "prompts-get-simple",
            "prompts-get-with-args",
            "prompts-get-embedded-resource",
            "prompts-get-with-image",
        ),
        NOT_OFFERED,
    ),
    "server-stateless": NO_SUCH_TOOL,
}

SERVER_CHECKS: Final[dict[str, set[str]]] = {
    "server-stateless": {"sep-2575-server-rejects-undeclared-capability", "sep-2575-missing-capability-http-400"},
}
"""Checks that fail in a scenario in which others hold; each needs a tool that asks for what was not offered to it."""
