"""Worlds whose agents call tools: twice in a turn, with an approval, and such whose server asks people or models."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from tests.sim.worlds import HASH, Simulable, kind, model
from turnwise.core.plan import AgentPlan, KindGrants, Plan
from turnwise.core.question import AskedQuestion
from turnwise.core.tool_plan import SamplingPlan, ToolPlan, ToolServerPlan
from turnwise.sim import Effect, ToolCalled

TOOLS = (
    ToolServerPlan("own", (ToolPlan("again", idempotent=True), ToolPlan("asks"), ToolPlan("note"), ToolPlan("pay"))),
)


def call(tool: str, what: str) -> dict[str, Any]:
    return {"effect": "call", "tool": f"own.{tool}", "args": {"what": what}}


def wise(tool: str, what: str) -> dict[str, Any]:
    return {"effect": "call", "tool": f"wise.{tool}", "args": {"what": what}}


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


def thinks(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Calls tools whose server asks models, several at once."""
    names = ("muses", "thinks", "muses") if turn["turn"] % 2 else ("thinks",)
    told = effect({"effects": [wise(name, digest([turn["state"], name, nr])) for nr, name in enumerate(names)]})
    out: dict[str, Any] = {"state": digest([turn["state"], told, effect(wise("thinks", digest(told)))])}
    return out | ({"wake_in": 1} if turn["turn"] < 4 else {})


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
    if called.tool.startswith("wise.") and (asked := thoughts(called)) is not None:
        return asked
    if called.number % 7 == 0:
        return {"error": {"kind": "tool", "message": f"call {called.number} has failed"}}
    return {"ok": {"text": f"{called.tool} {called.args} {called.answers}: call {called.number}"}}


def thoughts(called: ToolCalled) -> dict[str, Any] | None:
    """What a wise server asks: a model first, then two at once, then sometimes a person."""
    given = (called.answers or {}).keys()
    keys = ("one",) if not given else ("two", "three") if "one" in given else ()
    state = str(called.number)
    if keys:
        asked = [
            {
                "key": key,
                "hints": [],
                "request": {"messages": [{"role": "user", "content": f"{key} {called.answers} {called.args['what']}"}]},
            }
            for key in keys
        ]
        return {"sample": {"requests": asked, "state": state}}
    if "two" in given and called.number % 3 == 0:
        return {"ask": {"questions": [{"key": "first", "text": f"Sure of {called.answers}?"}], "state": state}}
    return None


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


def thinking(park_after_ms: int = 15) -> Simulable:
    """A world of agents whose servers ask models; no agent is granted any."""
    wise_ = ToolServerPlan(
        "wise", (ToolPlan("muses", idempotent=True), ToolPlan("thinks")), sampling=SamplingPlan(("m",), requests_max=6)
    )
    thinker, ticker = kind("thinker", start=True, grants=KindGrants(call=("wise",))), kind("ticker", start=True)
    agents = (*(AgentPlan(f"thinker-{n}", "thinker") for n in range(3)), AgentPlan("ticker", "ticker"))
    plan = Plan(
        "thinking", 3, (thinker, ticker), agents, "rounds", models=(("m", HASH),), tools=(wise_,), rounds_max=200
    )
    options = {"answer": model, "tool": answers, "person": person, "park_after_ms": park_after_ms}
    return Simulable(plan, {"thinker": thinks, "ticker": ticks}, options)
