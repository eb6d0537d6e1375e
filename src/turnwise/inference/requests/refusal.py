"""Refusals: what an agent is told when its request is not answered."""

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
    """The reply that tells an agent why its request was not answered."""
    return canonical({"error": {"kind": kind, "message": message}})
