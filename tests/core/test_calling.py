"""Calls of tools: who is refused, and what a server asks of people."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.core.worlds import kind, plan
from turnwise.core.calling import (
    ToolCall,
    approval,
    asking,
    call_of,
    call_refusal,
    tool_of,
    tools_reply,
)
from turnwise.core.plan import KindGrants
from turnwise.core.tool_plan import ToolPlan, ToolServerPlan
from turnwise.errors import JournalError

TOOLS = (
    ToolServerPlan("clock", (ToolPlan("now"),)),
    ToolServerPlan("files", (ToolPlan("read"), ToolPlan("write"))),
)
PLAN = replace(plan([kind("a", start=True)]), tools=TOOLS)
BODY = '{"args":{},"effect":"call","tool":"files.read"}'


def refusal(tool: str, granted: tuple[str, ...] = ("*",)) -> tuple[str, str] | None:
    body = json.dumps({"effect": "call", "tool": tool, "args": {}})
    told = call_refusal(PLAN, "ann", (KindGrants(call=granted),), body)
    if told is None:
        return None
    error = json.loads(told)["error"]
    return error["kind"], error["message"]


def test_a_tool_that_is_there_and_granted_is_called() -> None:
    assert refusal("files.read") is None
    assert refusal("clock") is None, "a server of one tool is its tool"


def test_what_is_not_there_is_said_and_a_server_of_several_tools_is_named() -> None:
    assert refusal("files") == ("unknown_tool", "files is a server of 2 tools: name one of them, as in files.TOOL")
    assert refusal("none.read") == ("unknown_tool", "there is no tool 'none.read' in this world")
    assert refusal("files.none") == ("unknown_tool", "there is no tool 'files.none' in this world")


def test_what_is_not_granted_is_denied() -> None:
    assert refusal("files.write", ("files.read",)) == (
        "denied",
        "ann is not granted the tool files.write (grants.call of its kind)",
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[]", "a call is an object"),
        ('{"effect":"call","tool":"clock","more":1}', "a call has no member 'more'"),
        ('{"effect":"call"}', "'tool' must be the name of a tool, of at most 200 characters"),
        ('{"effect":"call","tool":""}', "'tool' must be"),
        ('{"effect":"call","tool":7}', "'tool' must be"),
        (f'{{"effect":"call","tool":"{"x" * 201}"}}', "'tool' must be"),
        ('{"effect":"call","tool":"clock","args":[]}', "'args' must be an object"),
    ],
)
def test_what_is_no_call_is_said(body: str, said: str) -> None:
    told = call_refusal(PLAN, "ann", (KindGrants(call=("*",)),), body)
    assert told is not None
    error = json.loads(told)["error"]
    assert error["kind"] == "invalid"
    assert error["message"].startswith(said)
    assert tool_of(PLAN, body) is None


def test_arguments_are_canonical_and_may_be_left_out() -> None:
    assert call_of('{"effect":"call","tool":"clock"}') == ToolCall("clock", "{}")
    assert call_of('{"effect":"call","tool":"clock","args":{"b":1,"a":2}}') == ToolCall("clock", '{"a":2,"b":1}')
    assert call_of(f'{{"effect":"call","tool":"{"x" * 200}"}}').tool == "x" * 200


def test_tools_are_listed_as_far_as_they_are_granted() -> None:
    tool = ToolPlan("read", "reads a file", '{"type":"object"}', '{"type":"string"}')
    other = replace(PLAN, tools=(ToolServerPlan("files", (tool, ToolPlan("write"))), TOOLS[0]))
    layers = (KindGrants(call=("files.read",), approve=("clock",)), KindGrants(call=("*",)))
    assert json.loads(tools_reply(other, layers)) == {
        "ok": {
            "tools": [
                {"name": "clock.now", "description": "", "approve": True},
                {
                    "name": "files.read",
                    "description": "reads a file",
                    "input_schema": {"type": "object"},
                    "output_schema": {"type": "string"},
                },
            ]
        }
    }
    assert json.loads(tools_reply(other, (KindGrants(),))) == {"ok": {"tools": []}}


def test_a_person_is_asked_before_a_call_that_is_to_be_approved() -> None:
    layers = (KindGrants(call=("files.read",), approve=("files.write",)),)
    assert approval("ann", layers, PLAN, BODY) is None
    body = '{"args":{"a":1},"effect":"call","tool":"files.write"}'
    told = approval("ann", layers, PLAN, body)
    assert told is not None
    assert json.loads(told) == {
        "effect": "ask",
        "question": 'May ann call files.write with {"a":1}?',
        "schema": {"type": "boolean"},
        "call": {"request": json.loads(body)},
    }
    assert approval("ann", layers, PLAN, '{"effect":"call","tool":"none"}') is None
    long = json.dumps({"effect": "call", "tool": "files.write", "args": {"a": "x" * 3_000}})
    told = approval("ann", layers, PLAN, long)
    assert told is not None
    assert json.loads(told)["question"].endswith("x… (3,008 characters in all)?")


def asked(*questions: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(asking(BODY, json.dumps({"ask": {"state": "s", "questions": list(questions)}})))
    return found


def test_one_question_of_a_server_has_its_own_schema() -> None:
    found = asked({"key": "ok", "text": "Really?", "schema": {"type": "boolean"}})
    assert (found["effect"], found["question"], found["schema"]) == ("ask", "Really?", {"type": "boolean"})
    assert found["call"]["request"] == json.loads(BODY)
    assert found["call"]["asked"]["state"] == "s"
    assert "schema" not in asked({"key": "ok", "text": "Really?"})


def test_several_questions_are_one_with_a_member_for_each() -> None:
    found = asked({"key": "a", "text": "One?", "schema": {"type": "string"}}, {"key": "b", "text": "Two?"})
    assert found["question"] == "One?\nTwo?"
    assert found["schema"] == {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}}


@pytest.mark.parametrize("outcome", ["{}", "[]", '{"ask":{}}', '{"ask":{"state":1,"questions":[{}]}}', "x"])
def test_an_outcome_that_asks_nothing_is_damage(outcome: str) -> None:
    with pytest.raises(JournalError, match="the outcome of a call is none"):
        asking(BODY, outcome)
