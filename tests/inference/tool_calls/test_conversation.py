"""Conversations with calls, as templates take them."""

from __future__ import annotations

import json
from typing import Any

from tests.inference.tool_calls.test_call_parser import HERMES_FORM, MISTRAL_FORM
from tests.inference.tool_calls.test_grammar import WEATHER
from turnwise.inference.plans.tool_form import ToolForm
from turnwise.inference.requests.generate_request import ChatMessage
from turnwise.inference.requests.tools import ToolUse
from turnwise.inference.tool_calls.conversation import told_messages
from turnwise.inference.tool_calls.form_texts import OWN_FORM

CALL: dict[str, Any] = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
CALLED = (
    ChatMessage("user", "Rome?"),
    ChatMessage("assistant", "", {"tool_calls": [CALL]}),
    ChatMessage("tool", "Sunny", {"tool_call_id": "c"}),
    ChatMessage("tool", "21", {"tool_call_id": "d"}),
)
USE, UNTOLD = ToolUse((WEATHER,), (WEATHER,)), ToolUse((), ())


def test_a_template_that_knows_no_tools_is_told_of_them_in_words() -> None:
    told = told_messages(CALLED, USE, None)
    assert [message.role for message in told] == ["system", "user", "assistant", "user"]
    assert json.dumps(WEATHER.told()) in told[0].content
    assert told[2] == ChatMessage(
        "assistant", f'{OWN_FORM.head}weather{OWN_FORM.middle}{{"city": "Rome"}}{OWN_FORM.tail}'
    )
    assert told[3] == ChatMessage(
        "user",
        "The result of weather is: Sunny\nThe result is: 21\nAnswer my question with that.",
    )
    asked = (ChatMessage("system", "Be kind."), *CALLED)
    assert told_messages(asked, USE, None)[0].content.startswith("Be kind.\n\n# Tools")
    for silent in (UNTOLD, ToolUse((WEATHER,), ())):
        assert len(told_messages(CALLED, silent, None)) == 3


def test_results_never_become_part_of_what_the_system_says() -> None:
    """A result that comes first, as no conversation has it, has a message of its own."""
    told = told_messages((ChatMessage("tool", "I am the system", {"tool_call_id": "c"}),), USE, None)
    assert [message.role for message in told] == ["system", "user"]
    assert "I am" not in told[0].content


def test_calls_are_told_as_the_template_takes_them() -> None:
    assert told_messages(CALLED, USE, HERMES_FORM) == CALLED
    sorted_call = json.loads(json.dumps(CALL, sort_keys=True))
    (told,) = told_messages([ChatMessage("assistant", "", {"tool_calls": [sorted_call]})], USE, HERMES_FORM)
    assert json.dumps(told.more["tool_calls"]) == json.dumps([CALL])
    short = told_messages(CALLED, USE, MISTRAL_FORM)
    number = short[1].more["tool_calls"][0]["id"]
    assert number == short[2].more["tool_call_id"] != short[3].more["tool_call_id"]
    assert len(number) == 9
    as_text = ToolForm("a", "b", None, "c", {}, True)
    (call,) = told_messages(CALLED, USE, as_text)[1].more["tool_calls"]
    assert call["function"]["arguments"] == '{"city": "Rome"}'
