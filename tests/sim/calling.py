"""A world whose agents call tools: some twice in a turn, some with an approval, some whose server asks people."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from tests.sim.worlds import HASH, Simulable, kind, model
from turnwise.core.plan import AgentPlan, KindGrants, Plan
from turnwise.core.question import AskedQuestion
from turnwise.core.tool_plan import ToolPlan, ToolServerPlan
from turnwise.sim import Effect, ToolCalled

TOOLS = (
    ToolServerPlan("own", (ToolPlan("again", idempotent=True), ToolPlan("asks"), ToolPlan("note"), ToolPlan("pay"))),
)


def call(tool: str, what: str) -> dict[str, Any]:
    return {"effect": "call", "tool": f"own.{tool}", "args": {"what": what}}


def digest(value: Any) -> str:
    return sha256(json.dumps(value).encode()).hexdigest()[:8]


def calls(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Calls what follows from the answers before; and keeps all that it was told."""
    told: list[Any] = [effect(call("note", f"{turn['self']} {turn['turn']}"))]
    if turn["turn"] % 2:
        told.append(effect({"effect": "generate", "model": "m", "prompt": digest(told)}))
    names = ("again", "pay", "asks") if turn["turn"] % 3 == 0 else ("again", "note", "none")
    told.append(effect({"effects": [call(name, digest(told)) for name in names]}))
    told.append(effect(call("again", digest(told))))
    out: dict[str, Any] = {"state": digest([turn["state"], told])}
    out["send"] = [{"to": "ticker", "body": out["state"][:6]}]
    return out | ({"wake_in": 1 + turn["turn"] % 2} if turn["turn"] < 5 else {})


def ticks(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Moves in every round for a while, so that rounds go on beside calls that are waited for."""
    said = "".join(letter["body"] for letter in turn["inbox"])
    out: dict[str, Any] = {"state": sha256((turn["state"] + said).encode()).hexdigest()}
    return out | ({"wake_in": 1} if turn["round"] < 12 else {})


def answers(called: ToolCalled) -> dict[str, Any]:
    """Says something else each time; asks people first, where it does."""
    if called.tool == "own.asks" and (called.answers is None or len(called.answers) < 2):
        keys = ("first", "second")
        questions = [{"key": key, "text": f"{key} of {called.args['what']}?"} for key in keys]
        return {"ask": {"questions": questions, "state": str(called.number)}}
    if called.number % 7 == 0:
        return {"error": {"kind": "tool", "message": f"call {called.number} has failed"}}
    return {"ok": {"text": f"{called.tool} {called.args} {called.answers}: call {called.number}"}}


def person(asked: AskedQuestion) -> Any:
    """Approves most calls, and answers what servers ask."""
    if asked.text.startswith("May "):
        return sha256(asked.text.encode()).digest()[0] % 3 > 0
    return {"first": asked.text[:5], "second": 2}


def calling(park_after_ms: int = 15) -> Simulable:
    grants = KindGrants(
        generate=("m",), send=("ticker",), call=("own.again", "own.asks", "own.note"), approve=("own.pay",)
    )
    caller, ticker = kind("caller", start=True, grants=grants), kind("ticker", start=True)
    agents = (*(AgentPlan(f"caller-{n}", "caller") for n in range(3)), AgentPlan("ticker", "ticker"))
    plan = Plan("calling", 3, (caller, ticker), agents, "rounds", models=(("m", HASH),), tools=TOOLS, rounds_max=200)
    options = {"answer": model, "tool": answers, "person": person, "park_after_ms": park_after_ms}
    return Simulable(plan, {"caller": calls, "ticker": ticks}, options)
