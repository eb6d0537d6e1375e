"""Journals for tests of the command line: real ones, of runs that the simulator has played."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from turnwise.core.plan import AgentPlan, InitialMessage, Kind, KindGrants, Plan
from turnwise.core.plan_json import plan_to_json
from turnwise.core.state import first_agents
from turnwise.core.turn import EffectRequest
from turnwise.journal import CodeSource, Journal
from turnwise.sim import Effect, Simulation, simulate

CODE = "c0" * 32
CODES = {CODE: CodeSource("module", "noop.wat", (("noop.wat", b"(module)"),))}
EVIL = "\x1b[2J\x07\r\b\u202e\x9b1m\x7f"
"""What an agent would write to take over a terminal."""
EVIL_SHOWN = "\\e[2J\\a\\r\\b\\u202e\\x9b1m\\x7f"


def talker(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Does everything that a turn can do, and puts something evil into each of its texts."""
    if turn["turn"] == 2:
        raise ValueError(f"no more\n{EVIL}")
    reply = effect({"effect": "generate", "model": "m", "prompt": f"Say {EVIL}", "tokens_max": 4})
    effect({"effect": "generate", "model": "m", "messages": [{"role": "user", "content": "refuse"}], "tokens_max": 4})
    return {
        "state": json.dumps({"told": turn["turn"]}, separators=(",", ":")),
        "send": [{"to": "listeners", "body": f"{reply['ok']['text']}"}, {"to": "nobody", "body": "hello?"}],
        "log": [{"level": "warning", "text": f"log {EVIL}"}],
        "record": [{"name": f"price {EVIL}", "value": 3.5}],
        "wake_in": 1,
        "spawn": [{"kind": "listener", "name": "child", "args": {"evil": EVIL}}],
    }


def listener(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    if turn["round"] == 4:
        return {"state": "over", "finish": {"said": EVIL}}
    return {"state": f"heard {EVIL}", "stop": ["child"], "wake_in": 1}


def answer(request: EffectRequest, stream: bytes) -> dict[str, Any]:
    if "refuse" in request.body:
        return {"error": {"kind": "context_full", "message": f"too long {EVIL}"}}
    return {"ok": {"text": f"answer {EVIL}", "finish": "length", "tokens": 4, "prompt_tokens": 2}}


def evil_plan() -> Plan:
    kinds = (
        Kind("talker", CODE, start=True, grants=KindGrants(generate=("m",), send=("*",), spawn=("listener",))),
        Kind("listener", CODE, groups=("listeners",), grants=KindGrants(stop=("*",), finish=True)),
    )
    agents = (AgentPlan("talker", "talker"), AgentPlan("listener-1", "listener"), AgentPlan("listener-2", "listener"))
    messages = (InitialMessage("listener-1", f"begin {EVIL}"),)
    return Plan(f"evil {EVIL}", 7, kinds, agents, messages=messages, models=(("m", "a0" * 32),), rounds_max=9)


def play(plan: Plan, rounds: int | None = None) -> Simulation:
    return simulate(plan, {"talker": talker, "listener": listener}, answer=answer, rounds=rounds)


def write(path: Path, plan: Plan, run: Simulation, *, versions: str = "{}") -> Path:
    """The journal of a simulated run."""
    with Journal.create(
        path, plan=plan_to_json(plan), info="{}", versions=versions, codes=CODES, agents=first_agents(plan)
    ) as journal:
        for record in run.rounds:
            journal.writer.commit(record)
        if run.end is not None:
            journal.writer.end(run.end)
    return path
