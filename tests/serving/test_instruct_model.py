"""A real instruct model behind the server: conversations, structured answers, and turns of tool calling."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.serving.servers import serving

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20, "pattern": "^[A-Z][a-z]+$"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    """A client of a server of `TURNWISE_TEST_INSTRUCT_MODEL`, if that is named."""
    named = os.environ.get("TURNWISE_TEST_INSTRUCT_MODEL")
    if not named:
        pytest.skip("no instruct model is named: set TURNWISE_TEST_INSTRUCT_MODEL to the folder of one")
    with serving(f"instruct={named}") as server, openai.OpenAI(base_url=server.url, api_key="none") as made:
        yield made


def test_it_answers(client: openai.OpenAI) -> None:
    asked: Any = {
        "model": "instruct",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "temperature": 0,
        "max_tokens": 40,
    }
    whole = client.chat.completions.create(**asked).choices[0].message.content
    chunks = client.chat.completions.create(**asked, stream=True)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert whole is not None
    assert "Paris" in whole
    assert streamed == whole
    response = client.responses.create(
        model="instruct", input="What is the capital of France?", temperature=0, max_output_tokens=40
    )
    assert response.output_text == whole


class City(BaseModel):
    name: str
    country: str
    is_capital: bool


def test_it_answers_in_a_form(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="instruct",
        messages=[{"role": "user", "content": "Describe the city of Paris as JSON."}],
        response_format=City,
        temperature=0,
        max_tokens=80,
    )
    parsed = answer.choices[0].message.parsed
    assert parsed is not None
    assert parsed.name == "Paris"


def test_three_turns_of_tool_calling(client: openai.OpenAI) -> None:
    messages: list[Any] = []
    for city, weather in (("Rome", "sunny"), ("Oslo", "snowy"), ("Lisbon", "windy")):
        messages.append({"role": "user", "content": f"What is the weather in {city}?"})
        called = client.chat.completions.create(
            model="instruct",
            messages=messages,
            tools=[WEATHER],
            tool_choice="required",
            parallel_tool_calls=False,
            temperature=0,
            max_tokens=80,
        ).choices[0]
        assert called.finish_reason == "tool_calls"
        (call,) = called.message.tool_calls or ()
        assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": city})
        result = f"The weather in {city} is {weather}."
        messages += [called.message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": result}]
        answer = client.chat.completions.create(
            model="instruct", messages=messages, tools=[WEATHER], tool_choice="none", temperature=0, max_tokens=40
        ).choices[0]
        assert weather in (answer.message.content or "").lower()
        messages.append(answer.message.to_dict())
