"""Requests with tools in the words of a model, and answers taken apart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.inference.tool_calls.test_call_parser import HERMES_FORM, LLAMA_FORM
from turnwise.inference.requests.generate_request import GrammarSource, parse
from turnwise.inference.tool_calls.told_request import ARGUMENTS_NESTING_MAX, Said, take_apart, told_request

TOOL: dict[str, Any] = {"name": "add", "description": "Add", "parameters": {"additionalProperties": False}}
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}


def request(**more: Any) -> Any:
    messages = [{"role": "user", "content": "a"}]
    return parse(json.dumps({"effect": "generate", "model": "m", "messages": messages} | more))


def test_a_request_without_tools_stays_as_it_is() -> None:
    asked = request(lark='start: "a"')
    assert told_request(asked, HERMES_FORM) is asked


def test_a_template_that_shows_tools_is_given_them() -> None:
    told = told_request(request(tools=[TOOL], template={"a": 1}), HERMES_FORM)
    assert told.template == {
        "a": 1,
        "tools": [{"type": "function", "function": {"name": "add", "description": "Add", "parameters": SCHEMA}}],
    }
    assert len(told.messages) == 1
    assert told.grammar is not None
    assert told.grammar.kind == "lark"


def test_others_are_told_in_words() -> None:
    told = told_request(request(tools=[TOOL]), None)
    assert told.template == {}
    assert [message.role for message in told.messages] == ["system", "user"]


def test_a_conversation_without_tools_may_still_speak_of_calls() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "tool", "content": "b", "tool_call_id": "c"}]
    told = told_request(request(tools=[], messages=messages, json_schema={"type": "integer"}), None)
    assert [message.role for message in told.messages] == ["user", "user"]
    assert told.grammar == GrammarSource("json_schema", '{"type":"integer"}')


DEEP = "[" * (ARGUMENTS_NESTING_MAX - 1) + "]" * (ARGUMENTS_NESTING_MAX - 1)


@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        ("Hello", "Hello", []),
        ("", "", []),
        ('Well: {"name": "add", "parameters": {"a":1}}', "Well:", [("add", {"a": 1})]),
        ('{"name": "add", "parameters": {"a":1', "", [("add", None)]),
        ('{"name": "add", "parameters": {"a":1e999}}', "", [("add", None)]),
        ('{"name": "add", "parameters": {"a":"\\ud800"}}', "", [("add", None)]),
        (f'{{"name": "add", "parameters": {{"a":{DEEP}}}}}', "", [("add", {"a": json.loads(DEEP)})]),
        (f'{{"name": "add", "parameters": {{"a":[{DEEP}]}}}}', "", [("add", None)]),
    ],
)
def test_an_answer_is_taken_apart(text: str, said: str, calls: list[Any]) -> None:
    expected = Said(said, tuple([{"tool": tool, "args": args} for tool, args in calls]))
    assert take_apart(text, LLAMA_FORM) == expected


def test_the_form_of_those_that_have_none_is_that_of_hermes() -> None:
    begin = '<tool_call>\n{"name": "'
    text = begin + 'add", "arguments": {}}\n</tool_call>\n' + begin + 'b", "arguments": {"c":1}}'
    assert take_apart(text, None) == Said("", ({"tool": "add", "args": {}}, {"tool": "b", "args": {"c": 1}}))
