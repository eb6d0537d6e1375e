"""Scenarios of the conformance suite that are expected to fail, with reasons; one that passes has no place here."""

from __future__ import annotations

from typing import Final

AUTHORIZED: Final = {"authorization-request", "resource-parameter-in-authorization"}
"""Checks of a request for authorization."""

NO_PERSON: Final = (
    "a run signs in as a program (client credentials), and never as a person: nobody is there with a browser, so no "
    "authorization is requested; nor does it register itself, which would need a place to keep what it is given"
)
"""Reason why the checks below fail: each looks at a request for authorization, or at what follows from its answer."""

CLIENT: Final[dict[str, set[str]]] = {
    **{f"auth/metadata-{name}": AUTHORIZED | {"client-registration"} for name in ("default", "var1", "var2", "var3")},
    "auth/basic-cimd": {"cimd-client-id-used"},
    "auth/scope-from-www-authenticate": {"scope-from-www-authenticate"},
    "auth/scope-from-scopes-supported": {"scope-from-scopes-supported"},
    "auth/scope-omitted-when-undefined": {"scope-omitted-when-undefined"},
    "auth/scope-step-up": {"scope-step-up-initial", "scope-step-up-escalation", "sep-2350-scope-union-on-reauth"},
    "auth/scope-retry-limit": {"scope-retry-limit"},
    "auth/token-endpoint-auth-basic": {"resource-parameter-in-authorization"},
    "auth/token-endpoint-auth-post": {"resource-parameter-in-authorization"},
    "auth/token-endpoint-auth-none": {"resource-parameter-in-authorization", "token-endpoint-auth-method"},
    "auth/offline-access-scope": {"sep-2207-offline-access-requested"},
    "auth/offline-access-not-supported": {"sep-2207-offline-access-not-requested"},
    "auth/authorization-server-migration": {"sep-2352-reregister-on-as-change"},
    "auth/iss-supported-missing": {"sep-2468-client-reject-missing-iss"},
    "auth/iss-wrong-issuer": {"sep-2468-client-compare-iss-supported"},
    "auth/iss-unexpected": {"sep-2468-client-compare-iss-unadvertised"},
    "auth/iss-normalized": {"sep-2468-client-no-normalization"},
}
"""Checks that fail, by their scenarios, whose others hold. All for `NO_PERSON`."""

EXTENSIONS: Final = ("auth/client-credentials-basic", "auth/client-credentials-jwt")
"""Scenarios of extensions that hold, too, and that no revision requires."""


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
