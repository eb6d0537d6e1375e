"""Refusals: answers that say why a request is not fulfilled."""

from __future__ import annotations

from typing import Literal

from turnwise.core.canonical import canonical

ErrorKind = Literal["denied", "context_full", "unknown", "refused", "unavailable"]


class Refusal(Exception):
    """A request that is answered with an error. `kind` and `message` go to the agent, and into the head."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message


def error_body(kind: ErrorKind, message: str) -> str:
    """Make the reply that says why a request is not fulfilled."""
    return canonical({"error": {"kind": kind, "message": message}})
