"""Agents and models as Python functions, and one execution of a turn of such an agent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from turnwise.core.canonical import canonical, in_order
from turnwise.core.turn import EffectRequest
from turnwise.sandbox.execute.jobs import ExecutionStatus

Effect = Callable[[dict[str, Any]], dict[str, Any]]
"""The function that a behaviour calls for an effect: request → reply, as in the ABI."""
Behaviour = Callable[[dict[str, Any], Effect], dict[str, Any]]
"""An agent: (input envelope, effect) → output envelope. A pure function: it runs again from its start."""
Answer = Callable[[EffectRequest, bytes], dict[str, Any]]
"""Answers an effect: (request, key of its random stream) → reply, as in the ABI."""


class _SuspendedError(BaseException):
    """Ends an execution whose effect has no reply yet."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request


def execute(behaviour: Behaviour, envelope: bytes, replies: Iterable[str | bytes]) -> tuple[ExecutionStatus, str]:
    """Execute a turn from its start: how it ended, and its output, the request that it waits for, or what it raised."""
    known = iter(replies)

    def effect(request: dict[str, Any]) -> dict[str, Any]:
        reply = next(known, None)
        if reply is None:
            raise _SuspendedError(request)
        value: dict[str, Any] = json.loads(reply)
        return value

    try:
        return "completed", in_order(behaviour(json.loads(envelope), effect))
    except _SuspendedError as suspended:
        return "needs", canonical(suspended.request)
    except Exception as error:  # an agent's own fault, whatever it is
        return "failed", f"{type(error).__name__}: {error}"
