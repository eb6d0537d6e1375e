"""Tools: what is asked, the grammar of the answer, and calls as the real client sees them."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.inference.text.test_tool_form import HERMES_FORM
from turnwise.inference.requests.tools import CALLS_MAX_MAX, Tool, ToolUse
from turnwise.inference.tool_calls.grammar import calls_grammar
from turnwise.serving.api_error import ApiError
from turnwise.serving.parameters import Parameters
from turnwise.serving.tools import ServedTools, read_tools, tool_members

CITY = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "Tell it", "parameters": CITY | {"additionalProperties": False}},
}
STOP: dict[str, Any] = {"type": "function", "function": {"name": "stop", "parameters": {"additionalProperties": False}}}
ASK: dict[str, Any] = {"model": "tools", "messages": [{"role": "user", "content": "Rome?"}], "tools": [WEATHER, STOP]}
ONE_OF: dict[str, Any] = {"rome": {"city": "Rome"}, "oslo": {"city": "Oslo"}}


ONLY_STOP = {"tool_choice": {"type": "function", "function": {"name": "stop"}}}
ALLOWED = {
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "stop"}}]},
    }
}
JSON = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
FORM = {"name": "a", "schema": JSON}
TOLD_STOP = {"name": "stop", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}}


def test_tools_become_members_of_a_generate_request() -> None:
    def told(**asked: Any) -> ServedTools | None:
        return read_tools(Parameters({"tools": [STOP], **asked}), HERMES_FORM)

    assert told() == ServedTools(
        HERMES_FORM, {"tools": [TOLD_STOP], "tool_choice": "auto", "calls_max": CALLS_MAX_MAX}, True
    )
    single = told(parallel_tool_calls=False, tool_choice="required")
    assert single == ServedTools(HERMES_FORM, {"tools": [TOLD_STOP], "tool_choice": "required", "calls_max": 1}, False)
    only, allowed = told(**ONLY_STOP), told(**ALLOWED)
    assert only is not None
    assert allowed is not None
    assert only.members["tool_choice"] == {"mode": "required", "tools": ["stop"]}
    assert only.members["calls_max"] == 1
    assert allowed.members["tool_choice"] == {"mode": "auto", "tools": ["stop"]}
    assert told(tool_choice="none") is None


def test_a_conversation_that_speaks_of_calls_says_so() -> None:
    assert tool_members(None, [{"role": "user", "content": "a"}]) == {}
    assert tool_members(None, [{"role": "tool", "content": "a", "tool_call_id": "c"}]) == {"tools": []}
    assert tool_members(None, [{"role": "assistant", "content": "", "tool_calls": [{}]}]) == {"tools": []}


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "a", "code": 1}}]}, "tools[0].function.code"),
        ({"tools": [STOP, STOP]}, "tools"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [STOP], "tool_choice": "always"}, "tool_choice"),
        ({"tools": [STOP], "tool_choice": {"type": "function", "function": {"name": "go"}}}, "tool_choice"),
        ({"tools": [STOP], "tool_choice": {"type": "custom"}}, "tool_choice.type"),
    ],
)
def test_what_is_wrong_with_tools_is_named(asked: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        read_tools(Parameters(asked), None)
    assert caught.value.param == param


def test_many_tools_are_one_grammar(client: openai.OpenAI) -> None:
    """Schemas count apart from the grammar around them, so that agents with many tools are not refused."""
    texts = {f"text_{number}": {"type": "string", "maxLength": 5} for number in range(10)}
    schema = {"type": "object", "properties": texts}
    tools = [*(Tool(f"tool_{number}", None, schema) for number in range(25)), Tool("stop", None, {"type": "object"})]
    grammar = calls_grammar(ToolUse(tools, tools), HERMES_FORM)
    assert 8_192 < len(grammar) < 32_768
    answer = client.completions.create(
        model="demo", prompt="I can pay 40.\nSeller:", temperature=0, extra_body={"lark": grammar}
    )
    assert answer.choices[0].text
    text = json.dumps({"enum": ["x" * 33_000]})
    with pytest.raises(openai.BadRequestError, match="the schemas of lark ha"):
        client.completions.create(model="demo", prompt="a", extra_body={"lark": f"start: %json {text}"})


def test_where_nothing_may_be_called_there_are_no_tools() -> None:
    assert read_tools(Parameters({"tools": [STOP], "tool_choice": "none"}), None) is None
    assert read_tools(Parameters({}), None) is None


@pytest.mark.parametrize("model", ["tools", "demo"])
def test_a_required_call_has_all_that_the_api_says(client: openai.OpenAI, model: str) -> None:
    asked = ASK | {"model": model, "tools": [STOP], "tool_choice": "required", "parallel_tool_calls": False}
    (choice,) = client.chat.completions.create(**asked).choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    (call,) = choice.message.tool_calls or ()
    assert (call.type, call.function.name, call.function.arguments) == ("function", "stop", "{}")


def test_streamed_calls_carry_index_id_and_type(client: openai.OpenAI) -> None:
    asked = ASK | {"tool_choice": "required", "temperature": 0, "max_tokens": 120}
    whole = client.chat.completions.create(**asked).choices[0]
    chunks = list(client.chat.completions.create(**asked, stream=True))
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    begins = [delta for delta in deltas if delta.id is not None]
    assert [(begin.index, begin.type) for begin in begins] == [(index, "function") for index in range(len(begins))]
    calls = whole.message.tool_calls or []
    assert [begin.function.name for begin in begins if begin.function] == [call.function.name for call in calls]
    for index, call in enumerate(calls):
        told = [delta.function.arguments or "" for delta in deltas if delta.index == index and delta.function]
        assert "".join(told) == call.function.arguments
    assert len({begin.id for begin in begins}) == len(begins) == len(calls) > 0
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason == whole.finish_reason


def test_the_clients_own_helper_parses_arguments(client: openai.OpenAI) -> None:
    class Weather(BaseModel):
        """Tell the weather."""

        days: int
        sure: bool

    tool = openai.pydantic_function_tool(Weather)
    asked = {name: value for name, value in ASK.items() if name != "tools"}
    answer = client.chat.completions.parse(**asked, tools=[tool], tool_choice="required", parallel_tool_calls=False)
    (call,) = answer.choices[0].message.tool_calls or ()
    assert isinstance(call.function.parsed_arguments, Weather)


def test_a_conversation_goes_on_with_results(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(**ASK, tool_choice="required", parallel_tool_calls=False).choices[0].message
    (call,) = first.tool_calls or ()
    messages = [*ASK["messages"], first.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "Sunny."}]
    for more in ({}, {"tool_choice": "none"}, {"response_format": {"type": "json_schema", "json_schema": FORM}}):
        answer = client.chat.completions.create(**ASK | {"messages": messages} | more, max_tokens=60)
        assert answer.choices[0].finish_reason in ("stop", "length", "tool_calls")
    wrong = [
        *messages[:1],
        messages[1] | {"tool_calls": [call.to_dict() | {"function": {"name": "f", "arguments": "{"}}]},
    ]
    with pytest.raises(openai.BadRequestError, match="arguments of messages"):
        client.chat.completions.create(**ASK | {"messages": wrong})
