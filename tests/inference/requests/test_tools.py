"""What a request says of tools, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from turnwise.inference.requests.generate_request import parse
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tools import CALLS_MAX_DEFAULT, Tool, ToolUse

ADD: dict[str, Any] = {"name": "calc.add", "description": "Add", "parameters": {"properties": {"a": {}}}}
STOP: dict[str, Any] = {"name": "stop"}
TOLD_ADD = Tool("calc.add", "Add", {"type": "object", "properties": {"a": {}}})
TOLD_STOP = Tool("stop", None, {"type": "object", "properties": {}})
HI = {"role": "user", "content": "Hi"}
CALL: dict[str, Any] = {"id": "c", "type": "function", "function": {"name": "stop", "arguments": {}}}


def parsed(**asked: Any) -> ToolUse | None:
    return parse(json.dumps({"effect": "generate", "model": "m", "messages": [HI]} | asked)).tools


def test_what_may_be_called() -> None:
    both = (TOLD_ADD, TOLD_STOP)
    assert parsed() is None
    assert parsed(tools=[ADD, STOP]) == ToolUse(both, both, False, CALLS_MAX_DEFAULT)
    assert parsed(tools=[ADD, STOP], tool_choice="required", calls_max=1) == ToolUse(both, both, True, 1)
    assert parsed(tools=[ADD, STOP], tool_choice="none") == ToolUse(both, ())
    assert parsed(tools=[ADD, STOP], tool_choice={"mode": "required", "tools": ["stop"]}) == ToolUse(
        both, (TOLD_STOP,), True
    )
    assert parsed(tools=[]) == ToolUse((), ())
    loose = (Tool("stop", None, TOLD_STOP.parameters, strict=False),)
    assert parsed(tools=[{**STOP, "strict": False}]) == ToolUse(loose, loose)


def message(**more: Any) -> dict[str, Any]:
    return {"messages": [HI, {"role": "assistant", "content": "", **more}]}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"tools": "calc"}, "tools must be a list of tools, not text"),
        ({"tools": [STOP] * 129}, "tools has 129 entries, at most 128"),
        ({"tools": [1]}, "tools\\[0\\] must be an object"),
        ({"tools": [STOP, {"name": "a b"}]}, "tools\\[1\\].name must be text of 1 to 200"),
        ({"tools": [{"name": "a", "code": 1}]}, 'unknown key "code"'),
        ({"tools": [{"name": "a", "description": 1}]}, "description must be text, not a number"),
        ({"tools": [{"name": "a", "parameters": []}]}, "parameters must be an object, a JSON schema, not a list"),
        ({"tools": [{"name": "a", "description": "\ud800"}]}, "half a character"),
        ({"tools": [{"name": "a", "description": "x" * 65_537}]}, "descriptions of tools has 65537 characters"),
        ({"tools": [{"name": "a", "parameters": {"const": "x" * 33_000}}]}, "schemas of tools has"),
        ({"tools": [{"name": "a", "strict": 1}]}, "strict must be true or false, not a number"),
        ({"tools": [STOP, STOP]}, 'two tools have the name "stop"'),
        ({"tools": [STOP], "tool_choice": "always"}, 'none, not "always"'),
        ({"tools": [STOP], "tool_choice": {"mode": "auto", "tools": ["go"]}}, 'names "go", which is none'),
        ({"tools": [STOP], "tool_choice": {"mode": "auto"}}, "an object with mode and tools"),
        ({"tools": [], "tool_choice": "required"}, "there are no tools"),
        ({"tools": [STOP], "calls_max": 65}, "calls_max must be a whole number from 1 to 64"),
        ({"tool_choice": "auto"}, "tool_choice is given, and no tools"),
        ({"calls_max": 1}, "calls_max is given, and no tools"),
        ({"tools": [STOP], "regex": "a"}, "regex and tools are given"),
        ({"tools": [STOP], "lark": 'start: "a"'}, "lark and tools are given"),
        ({"tools": [STOP], "template": {"tools": []}}, "so they are in template"),
        ({"tools": [STOP], "messages": None, "prompt": "a"}, "tools go with messages"),
        ({"tools": [], **message(tool_calls={})}, "messages\\[1\\].tool_calls must be a list"),
        ({"tools": [], **message(tool_calls=[CALL, {**CALL, "type": "code"}])}, "tool_calls\\[1\\] must be an object"),
        ({"tools": [], **message(tool_calls=[{**CALL, "function": {"name": "a"}}])}, "tool_calls\\[0\\] must be"),
        ({"tools": [], **message(tool_calls=[{**CALL, "id": ""}])}, "tool_calls\\[0\\] must be"),
        ({"tools": [], **message(tool_call_id=1)}, "tool_call_id must be text, not a number"),
    ],
)
def test_what_is_refused(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(Refusal, match=told):
        parsed(**asked)


def test_without_tools_messages_are_the_templates_own_matter() -> None:
    assert parsed(**message(tool_calls=["whatever"], tool_call_id=1)) is None
