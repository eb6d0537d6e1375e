from __future__ import annotations

from typing import Any

import pytest
from mcp import types

from turnwise.tools.kinds.mcp.call_state import QUESTIONS_MAX, ROUNDS_MAX, STATE_CHARS_MAX, CallState
from turnwise.tools.server import ToolQuestions, ToolResult, ToolUnavailableError


def question(text: str) -> types.ElicitRequest:
    schema: Any = {"type": "object", "properties": {"a": {"type": "string"}}}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=text, requested_schema=schema))


def asked(state: CallState) -> ToolQuestions:
    found = state.asked()
    assert isinstance(found, ToolQuestions)
    return found


@pytest.mark.parametrize("own", ["opaque\n\0é", None, ""])
def test_the_servers_state_comes_back_as_it_was(own: str | None) -> None:
    told = asked(CallState(own, 3, {"k": question("Which?")}))
    again = CallState.read(told.state)
    assert again.request_state == own
    assert again.round == 4
    assert again.responses({"k": {"a": "b"}}) == {"k": types.ElicitResult(action="accept", content={"a": "b"})}
    assert again.responses({}) == {"k": types.ElicitResult(action="cancel")}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (CallState("s", ROUNDS_MAX, {"k": question("?")}), "has asked 64 times"),
        (CallState("s", 0, {str(n): question("?") for n in range(QUESTIONS_MAX + 1)}), "more than 16 questions"),
        (CallState("s" * (STATE_CHARS_MAX + 1), 0, {"k": question("?")}), "more state to keep"),
        (CallState("s", 0, {"k": types.ListRootsRequest()}), "roots/list, which was not offered"),
    ],
)
def test_what_is_too_much_or_not_for_people_fails_the_call(state: CallState, said: str) -> None:
    told = state.asked()
    assert isinstance(told, ToolResult)
    assert told.is_error
    assert said in told.text


def test_the_most_that_is_possible_is_possible() -> None:
    requests = {str(number): question("?") for number in range(QUESTIONS_MAX)}
    assert len(asked(CallState("s" * STATE_CHARS_MAX, ROUNDS_MAX - 1, requests)).questions) == QUESTIONS_MAX


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"asked":{"k":5},"round":1,"state":null}', "5"])
def test_a_state_of_something_else_is_told(text: str) -> None:
    with pytest.raises(ToolUnavailableError, match="cannot be read"):
        CallState.read(text)
