"""Small worlds for tests of the core, and shorthand to write them."""

from __future__ import annotations

from typing import Any

from turnwise.core.plan import AgentPlan, InitialMessage, Kind, KindGrants, Limits, Plan
from turnwise.sim import Effect

CODE = "0" * 64
WITHOUT_SUMS = Limits(
    fuel=5_000_000_000,
    state_bytes_max=None,
    send_bytes_max=None,
    deliveries_max=None,
    inbox_bytes_max=None,
    effects_bytes_max=None,
)
"""The limits of plans of version 1, with the fuel that was their default."""


def kind(name: str, **options: Any) -> Kind:
    return Kind(name, CODE, **options)


def plan(kinds: list[Kind], agents: list[str] | None = None, **options: Any) -> Plan:
    """A plan with one agent for each kind, or with `agents` written as "name:kind"."""
    named = [text.split(":") for text in agents] if agents is not None else [[k.name, k.name] for k in kinds]
    by_name = {k.name: k for k in kinds}
    first = tuple(AgentPlan(name, kind_, by_name[kind_].args, by_name[kind_].state) for name, kind_ in named)
    messages = tuple(InitialMessage(to, body) for to, body in options.pop("messages", []))
    return Plan(options.pop("name", "test"), options.pop("seed", 7), tuple(kinds), first, messages=messages, **options)


def sends(*names: str) -> KindGrants:
    return KindGrants(send=names)


def still(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Does nothing."""
    return {"state": turn["state"]}


def answers(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Replies to every message with its body and one more letter."""
    return {
        "state": turn["state"] + "x",
        "send": [{"to": m["from"], "body": m["body"] + "!"} for m in turn["inbox"] if m["from"] != "outside"],
    }
