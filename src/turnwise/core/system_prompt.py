"""The system prompt of a kind: what every conversation of its agents with a model begins with."""

from __future__ import annotations

from typing import Any

from turnwise.core.canonical import canonical
from turnwise.core.json_text import decode
from turnwise.core.turn import EffectRequest


def with_system(request: EffectRequest, system: str) -> EffectRequest:
    """The request as the model gets it, and as it is recorded.

    `system` becomes the request's own member `system` if it is a `generate` with `messages`, and has no system prompt
    already: neither that member nor a message whose role is `system`. What is malformed is left to be refused.
    """
    if not system or request.kind != "generate":
        return request
    body: dict[str, Any] = decode(request.body)
    messages = body.get("messages")
    if not isinstance(messages, list) or body.get("system") is not None:
        return request
    if any(isinstance(message, dict) and message.get("role") == "system" for message in messages):
        return request
    return EffectRequest(request.kind, request.model, canonical({**body, "system": system}))
