from __future__ import annotations

from typing import Any

import pytest
from mcp import types

from turnwise.tools.kinds.mcp.call_state import QUESTIONS_MAX, ROUNDS_MAX, STATE_CHARS_MAX, CallState
from turnwise.tools.kinds.mcp.sampling import SamplingError
from turnwise.tools.server import ToolQuestions, ToolResult, ToolSamples, ToolUnavailableError


def question(text: str) -> types.ElicitRequest:
    schema: Any = {"type": "object", "properties": {"a": {"type": "string"}}}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=text, requested_schema=schema))


def sample(text: str) -> types.CreateMessageRequest:
    said = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[said], max_tokens=5))


SAID = {"ok": {"text": "hi", "finish": "end"}, "model": "m"}
RESULT = types.CreateMessageResult(
    role="assistant", content=types.TextContent(type="text", text="hi"), model="m", stop_reason="endTurn"
)


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
    assert again.answered({"k": {"a": "b"}}) == {"k": types.ElicitResult(action="accept", content={"a": "b"})}
    assert again.answered({}) == {"k": types.ElicitResult(action="cancel")}


def test_models_are_asked_before_people_and_the_server_gets_all_at_once() -> None:
    told = CallState("s", 2, {"p": question("Which?"), "m": sample("x" * 1_000)}).asked(may_sample=True)
    assert isinstance(told, ToolSamples)
    assert [one.key for one in told.samples] == ["m"]
    assert len(told.state) < 1_000, "what was sent once is not kept"
    people = CallState.read(told.state).answered({"m": SAID})
    assert isinstance(people, ToolQuestions)
    assert [one.key for one in people.questions] == ["p"]
    last = CallState.read(people.state)
    assert (last.round, last.request_state) == (3, "s")
    assert last.answered({"p": {"a": "b"}}) == {
        "p": types.ElicitResult(action="accept", content={"a": "b"}),
        "m": RESULT,
    }


def test_a_server_that_asks_models_alone_gets_their_answers() -> None:
    told = CallState("s", 0, {"a": sample("1"), "b": sample("2")}).asked(may_sample=True)
    assert isinstance(told, ToolSamples)
    assert CallState.read(told.state).answered({"a": SAID, "b": SAID}) == {"a": RESULT, "b": RESULT}
    with pytest.raises(SamplingError, match="no model has answered"):
        CallState.read(told.state).answered({"a": SAID})


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (CallState("s", ROUNDS_MAX, {"k": question("?")}), "has asked 64 times"),
        (CallState("s", 0, {str(n): question("?") for n in range(QUESTIONS_MAX + 1)}), "more than 16 questions"),
        (CallState("s" * (STATE_CHARS_MAX + 1), 0, {"k": question("?")}), "more state to keep"),
        (CallState("s", 0, {"k": types.ListRootsRequest()}), "roots/list, which was not offered"),
        (CallState("s", 0, {"k": sample("Hello")}), "sampling/createMessage, which was not offered"),
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


@pytest.mark.parametrize(
    "text", ["", "no JSON", "[]", "{}", '{"asked":{"k":5},"round":1,"sampled":{},"state":null}', "5"]
)
def test_a_state_of_something_else_is_told(text: str) -> None:
    with pytest.raises(ToolUnavailableError, match="cannot be read"):
        CallState.read(text)
