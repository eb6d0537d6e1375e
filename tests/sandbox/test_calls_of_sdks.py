"""Calls of tools and questions by the SDKs: one world of tools and people, and the same requests in three languages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import turnwise
from turnwise import Agent, Grants, Tools, World

ROOT = Path(__file__).parents[2]
OWN = '''
def add(a: int, b: int) -> dict:
    """Add two numbers."""
    return {"sum": a + b}
'''
PYTHON = """
def turn(t):
    added = t.call("own.add", {"a": 1, "b": 2})
    several = t.call_all(["own.add", ("own.add", {"a": 2, "b": 2}), "own.gone"], return_errors=True)
    kinds = [getattr(one, "kind", None) or one.text for one in several]
    tools = [[tool.name, tool.description, sorted(tool.input_schema["properties"]), tool.approve] for tool in t.tools()]
    answer = t.ask("Which?", schema={"type": "integer"}, deadline=1000, default=7)
    t.state = [added.text, added.data, kinds, tools, answer]
"""
JAVASCRIPT = """
export function turn(t) {
  const added = t.call("own.add", { a: 1, b: 2 });
  const several = t.callAll(["own.add", ["own.add", { a: 2, b: 2 }], "own.gone"], { returnErrors: true });
  const kinds = several.map((one) => one.kind ?? one.text);
  const sorted = (schema) => Object.keys(schema.properties).sort();
  const tools = t.tools().map((tool) => [tool.name, tool.description, sorted(tool.inputSchema), tool.approve]);
  const answer = t.ask("Which?", { schema: { type: "integer" }, deadline: 1000, default: 7 });
  t.state = [added.text, added.data, kinds, tools, answer];
}
"""
C = r"""
#include "turnwise.h"

void turn(tw_turn *t) {
  tw_text reply = tw_call(tw_literal("own.add"), tw_literal("{\"a\":1,\"b\":2}"));
  tw_text failed = tw_call(tw_literal("own.gone"), tw_literal("{}"));
  tw_text answer = tw_ask(tw_literal("Which?"), tw_literal("{\"type\":\"integer\"}"));
  tw_out out = {0};
  tw_add(&out, tw_literal("["));
  tw_add_string(&out, tw_call_text(tw_literal("own.add"), tw_literal("{\"a\":2,\"b\":2}")));
  tw_add(&out, tw_literal(","));
  tw_add(&out, tw_member(tw_member(reply, "ok"), "data"));
  tw_add(&out, tw_literal(","));
  tw_add(&out, tw_member(tw_member(failed, "error"), "kind"));
  tw_add(&out, tw_literal(","));
  tw_add(&out, tw_tools());
  tw_add(&out, tw_literal(","));
  tw_add(&out, answer);
  tw_add(&out, tw_literal("]"));
  tw_set_state(t, tw_written(&out));
}
"""
ADDED = '{"sum": 3}', {"sum": 3}
SEVERAL = ["invalid", '{"sum": 4}', "unknown_tool"]
LISTED = [["own.add", "Add two numbers.", ["a", "b"], False]]


def played(folder: Path, source: str) -> str:
    """Play the agent, whose question is answered by 5; return the state that it leaves."""
    (folder / "own.py").write_text(OWN)
    world = World(
        "calls",
        tools={"own": Tools("python", {"path": "own.py"})},
        agents={"agent": Agent(source, start=True, grants=Grants(call=["own"], ask=True))},
        folder=folder,
    )
    with turnwise.start(world, journal=folder / "run.journal", workers=1) as live:
        live.step()
        (asked,) = live.questions()
        assert asked.text == "Which?"
        assert live.answer(asked.id, 5)
        with live.result() as run:
            (turn,) = run.turns
            assert turn.failure is None, turn.failure
            assert turn.output is not None
            return turn.output.state


@pytest.mark.parametrize(("name", "source"), [("agent.py", PYTHON), ("agent.js", JAVASCRIPT)])
def test_an_agent_calls_lists_and_asks(tmp_path: Path, name: str, source: str) -> None:
    (tmp_path / name).write_text(source)
    assert json.loads(played(tmp_path, name)) == [*ADDED, SEVERAL, LISTED, 5]


def test_an_agent_in_c_calls_lists_and_asks(tmp_path: Path) -> None:
    (tmp_path / "agent.c").write_text(C)
    flags = ["--target=wasm32-freestanding", "-O2", "-s", "-nostdlib", "-Wl,--no-entry", "-Wall", "-Wextra", "-Werror"]
    header = f"-I{ROOT / 'guests' / 'c'}"
    arguments = [sys.executable, "-m", "ziglang", "cc", *flags, header, "-o", "agent.wasm", "agent.c"]
    subprocess.run(arguments, cwd=tmp_path, check=True)
    text, data, kind, tools, answer = json.loads(played(tmp_path, "agent.wasm"))
    assert (text, data, kind, answer) == ('{"sum": 4}', {"sum": 3}, "unknown_tool", 5)
    assert [tool["name"] for tool in tools] == ["own.add"]
