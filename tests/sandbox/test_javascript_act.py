"""The loop for tool calls in JavaScript: the same steps, words and messages as in Python."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.sandbox.test_python_agents import MIB, envelope, execute
from turnwise.errors import EnvironmentFailure
from turnwise.sandbox.build.code import Code, Source, prepare
from turnwise.sandbox.execute.jobs import TurnJob
from turnwise_guest.testing import make_turn

AGENT = """
const add = {
  name: "add",
  description: "Add.",
  parameters: { type: "object", properties: { a: {}, b: {} }, required: ["a"], additionalProperties: false },
  run: ({ a, b = 3 }) => {
    if (a === 13) throw new RangeError("unlucky");
    return a + b;
  },
};

export function turn(t) {
  t.state = t.act("m", "Go", { tools: ["w", add, "x.g*"], stepsMax: t.args.steps, resultCharsMax: 40 });
}
"""
LISTED = [
    {"name": name, "description": "", "input_schema": {"type": "object"}} for name in ("w.look", "x.go", "x.stop")
]
STEPS: list[Any] = [
    [("add", {"a": 1}), ("w.look", {"at": 1}), ("x.go", {}), ("add", {"a": 13}), ("sub", {}), ("add", None)],
    [("add", {"a": "😀" * 30})],
    [("add", {"a": "😀" * 30})],
]


@pytest.fixture(scope="module")
def code() -> Code:
    try:
        (made,) = asyncio.run(prepare([Source("a", "javascript", {"agent.js": AGENT.encode()}, "agent.js")]))
    except EnvironmentFailure as failure:
        pytest.skip(failure.message)
    return made


def reply(request: Any, asked: list[Any]) -> Any:
    """What the world answers; the requests to the model are noted."""
    if "effects" in request:
        return {"results": [reply(one, asked) for one in request["effects"]]}
    if request["effect"] == "tools":
        return {"ok": {"tools": LISTED}}
    if request["effect"] == "call":
        if request["tool"] == "x.go":
            return {"error": {"kind": "unavailable", "message": "gone"}}
        return {"ok": {"text": "", "data": request["args"]}}
    asked.append(request)
    calls = STEPS[len(asked) - 1] if request["tool_choice"] != "none" else []
    made = [{"tool": tool, "args": args} for tool, args in calls]
    return {"ok": {"text": "" if made else "Done.", "calls": made, "finish": "end", "tokens": 1, "prompt_tokens": 1}}


def played(code: Code, steps: int) -> tuple[Any, list[Any]]:
    """The state that the agent leaves, and what its model was asked."""
    replies: tuple[bytes, ...] = ()
    asked: list[Any] = []
    made = json.loads(envelope("a")) | {"args": {"steps": steps}}
    while True:
        job = TurnJob(0, code.hash, json.dumps(made).encode(), replies, 1_000_000_000, 64 * MIB, MIB)
        result = asyncio.run(execute([code], [job]))[0]
        if result.status == "completed":
            return json.loads(json.loads(result.body)["state"]), asked
        assert result.status == "needs", result.body
        replies = (*replies, json.dumps(reply(json.loads(result.body), asked)).encode())


def test_the_loop_is_that_of_python(code: Code) -> None:
    def add(a: Any, b: Any = 3) -> Any:
        """Add."""
        if a == 13:
            raise ValueError("unlucky")
        return a + b if isinstance(a, int) else f"{a}{b}"

    found, asked = played(code, 8)
    in_python: list[Any] = []
    t = make_turn()
    t._effect = lambda request: json.dumps(reply(json.loads(request), in_python))
    acted = t.act("m", "Go", tools=["w", add, "x.g*"], result_chars_max=40)
    assert found["answer"] == acted.answer == "Done."
    assert found["ended"] == acted.ended == "repeat"
    assert [[call["tool"], call["args"], call["error"]] for call in found["calls"]] == [
        [call.tool, call.args, call.error] for call in acted.calls
    ]
    results = [call["result"] for call in found["calls"]]
    assert results[:6] == [
        "4",
        '{"at":1}',
        "Error (unavailable): gone",
        "Error (raised): RangeError: unlucky",
        "Error (unknown_tool): there is no tool s… (2 more characters)",
        "Error (invalid): the arguments are no JS… (26 more characters)",
    ]
    assert results[6] == "😀" * 20 + "… (21 more characters)"
    assert [len(request["messages"]) for request in asked] == [len(request["messages"]) for request in in_python]
    assert [request["tool_choice"] for request in asked] == ["auto", "auto", "auto", "none"]
    assert asked[0]["tools"][:2] == in_python[0]["tools"][:2]
    first, in_python_first = found["messages"][1], acted.messages[1]
    assert first == in_python_first


def test_the_last_time_it_is_asked_for_an_answer(code: Code) -> None:
    found, asked = played(code, 2)
    assert (found["ended"], len(found["steps"])) == ("steps", 1)
    assert [request["tool_choice"] for request in asked] == ["auto", "none"]
