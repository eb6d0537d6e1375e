"""`/v1/responses`, asked by the real client."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from pydantic import BaseModel

ASK: dict[str, Any] = {"model": "demo", "input": "I can pay"}
STOP: dict[str, Any] = {
    "type": "function",
    "name": "stop",
    "parameters": {"additionalProperties": False},
    "strict": True,
}


def test_a_response_is_what_the_conversation_gets(client: openai.OpenAI) -> None:
    response = client.responses.create(**ASK, temperature=0, metadata={"my": "own"})
    chat = client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "I can pay"}], temperature=0
    )
    assert response.output_text == chat.choices[0].message.content
    assert (response.status, response.store, response.metadata) == ("completed", False, {"my": "own"})
    assert response.usage is not None
    assert chat.usage is not None
    assert response.usage.output_tokens == chat.usage.completion_tokens


def test_items_are_sent_again(client: openai.OpenAI) -> None:
    first = client.responses.create(**ASK, instructions="Be brief.", max_output_tokens=4, temperature=0)
    assert first.status == "incomplete"
    assert first.incomplete_details is not None
    assert first.incomplete_details.reason == "max_output_tokens"
    again: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "I can pay"}]}, *first.output]
    second = client.responses.create(model="demo", input=[*again, {"role": "user", "content": "More."}])
    assert second.usage is not None
    assert first.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens


def test_streamed_events_make_the_response(client: openai.OpenAI) -> None:
    whole = client.responses.create(**ASK, temperature=0)
    with client.responses.stream(**ASK, temperature=0) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == whole.output_text
    assert [event.sequence_number for event in events] == list(range(len(events)))
    names = [event.type for event in events]
    begin = ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    end = ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"]
    assert (names[:4], names[-4:]) == (begin, end)
    assert set(names[4:-4]) == {"response.output_text.delta"}


def test_calls_are_items(client: openai.OpenAI) -> None:
    asked = ASK | {"model": "tools", "tools": [STOP], "tool_choice": "required", "parallel_tool_calls": False}
    whole = client.responses.create(**asked)
    (call,) = whole.output
    assert call.type == "function_call"
    assert (call.name, call.arguments, call.status) == ("stop", "{}", "completed")
    with client.responses.stream(**asked) as stream:
        names = [event.type for event in stream]
        (streamed,) = stream.get_final_response().output
    assert streamed.type == "function_call"
    assert (streamed.name, streamed.arguments) == (call.name, call.arguments)
    assert "response.function_call_arguments.delta" in names
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "Stopped."}
    items: list[Any] = [{"role": "user", "content": "Stop."}, call, result]
    after = client.responses.create(model="tools", input=items, tools=[STOP], max_output_tokens=10)
    assert after.status in ("completed", "incomplete")


class Offer(BaseModel):
    price: int
    sold: bool


def test_structured_answers_follow_their_schema(client: openai.OpenAI) -> None:
    assert isinstance(client.responses.parse(**ASK, text_format=Offer).output_parsed, Offer)


@pytest.mark.parametrize(
    ("changes", "param", "words"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "nothing is stored"),
        ({"conversation": "conv_1"}, "conversation", "nothing is stored"),
        ({"store": True}, "store", "nothing is stored"),
        ({"background": True}, "background", "while the client waits"),
        ({"include": ["message.output_text.logprobs"]}, "include", "nothing more"),
        ({"reasoning": {"effort": "high"}}, "reasoning", "no such setting"),
        ({"text": {"verbosity": "low"}}, "text.verbosity", "no such setting"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "none of"),
        ({"input": []}, "input", "at least one item"),
        ({"input": [{"type": "item_reference", "id": "a"}]}, "input[0].type", "none of"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type", "no text"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "no function"),
        ({"extra_body": {"messages": []}}, "messages", "unknown parameter"),
        ({"input": "a b " * 400}, "messages", "context"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_refused_in_the_apis_own_form(
    client: openai.OpenAI, changes: dict[str, Any], param: str, words: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(**ASK | changes, stream=stream)
    assert caught.value.param == param
    assert words in caught.value.message


def test_a_long_conversation_may_lose_its_beginning_if_that_is_asked(client: openai.OpenAI) -> None:
    items: list[Any] = [{"role": "user", "content": "a b " * 60} for _ in range(8)]
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="demo", input=items)
    answer = client.responses.create(model="demo", input=items, truncation="auto", max_output_tokens=5)
    assert answer.output_text
