"""`/v1/chat/completions`, asked by the real client."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from tests.serving.servers import Server

ASK: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "I can pay"}]}


def text(answer: ChatCompletion) -> str:
    return answer.choices[0].message.content or ""


def test_an_answer_has_all_that_the_api_says(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(**ASK, max_tokens=5, temperature=0)
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "length", None)
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.usage is not None
    assert (answer.usage.completion_tokens, answer.usage.total_tokens) == (5, answer.usage.prompt_tokens + 5)
    assert answer.system_fingerprint is not None
    assert "-batch-invariant-" in answer.system_fingerprint


def test_without_a_bound_the_answer_ends_by_itself(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(**ASK, temperature=0)
    assert answer.choices[0].finish_reason == "stop"


def test_the_same_request_gets_the_same_and_another_seed_another(client: openai.OpenAI) -> None:
    one, again = [client.chat.completions.create(**ASK, seed=3) for _ in range(2)]
    assert text(one) == text(again)
    assert one.id != again.id
    assert {text(client.chat.completions.create(**ASK, seed=seed)) for seed in range(4)} > {text(one)}


def test_choices_are_drawn_apart_and_the_first_is_that_of_one(client: openai.OpenAI) -> None:
    three = client.chat.completions.create(**ASK, n=3, seed=1)
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in three.choices}) == 3
    assert text(client.chat.completions.create(**ASK, seed=1)) == three.choices[0].message.content
    assert three.usage is not None
    assert three.usage.prompt_tokens < 20  # one prompt, however many answers


@pytest.mark.parametrize("count", [1, 3])
def test_a_stream_says_what_the_whole_answer_says(client: openai.OpenAI, count: int) -> None:
    asked = ASK | {"n": count, "seed": 2, "logprobs": True, "top_logprobs": 2}
    whole = client.chat.completions.create(**asked)
    chunks: list[ChatCompletionChunk] = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    *parts, last = chunks
    assert (last.choices, last.usage) == ([], whole.usage)
    assert all(chunk.usage is None and len(chunk.choices) == 1 for chunk in parts)
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    for choice in whole.choices:
        own = [chunk.choices[0] for chunk in parts if chunk.choices[0].index == choice.index]
        assert own[0].delta.role == "assistant"
        assert "".join(part.delta.content or "" for part in own) == choice.message.content
        assert [part.finish_reason for part in own] == [None] * (len(own) - 1) + [choice.finish_reason]
        told = [entry for part in own if part.logprobs for entry in part.logprobs.content or ()]
        assert choice.logprobs is not None
        assert told == choice.logprobs.content
        assert "".join(entry.token for entry in told) == choice.message.content


def test_the_clients_own_stream_puts_the_answer_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(**ASK, seed=2) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        answer = stream.get_final_completion()
    assert "".join(deltas) == answer.choices[0].message.content == text(client.chat.completions.create(**ASK, seed=2))


def test_log_probabilities_are_those_of_the_text(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(**ASK, temperature=0, logprobs=True, top_logprobs=3)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content
    assert "".join(entry.token for entry in logprobs.content) == text(answer)
    for entry in logprobs.content:
        assert bytes(entry.bytes or ()).decode() == entry.token
        assert len(entry.top_logprobs) == 3
        assert entry.top_logprobs[0].logprob == entry.logprob  # the likeliest was taken


def test_a_stop_text_and_a_bias_do_what_they_say(client: openai.OpenAI) -> None:
    whole = text(client.chat.completions.create(**ASK, temperature=0))
    stopped = client.chat.completions.create(**ASK, temperature=0, stop=whole[4:8])
    assert (text(stopped), stopped.choices[0].finish_reason) == (whole[: whole.index(whole[4:8])], "stop")
    first = client.chat.completions.create(**ASK, max_tokens=1, logprobs=True, top_logprobs=2, temperature=0)
    logprobs = first.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content
    other = logprobs.content[0].top_logprobs[1].token
    biased = client.chat.completions.create(**ASK, max_tokens=1, temperature=0, logit_bias={other: 100})
    assert text(biased) == other


IMAGE = {"type": "image_url"}


class Offer(BaseModel):
    price: int
    sold: bool


def test_structured_answers_follow_their_schema(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(**ASK, response_format=Offer)
    assert isinstance(answer.choices[0].message.parsed, Offer)


def test_any_object_is_one(client: openai.OpenAI) -> None:
    bias = {"}": 100}  # this model knows no JSON, and would go on for ever
    answer = client.chat.completions.create(**ASK, response_format={"type": "json_object"}, logit_bias=bias)
    assert text(answer) == "{}"


@pytest.mark.parametrize(
    ("changes", "status", "param", "words"),
    [
        ({"model": "other"}, 404, "model", "not served here: demo, tools, encoder"),
        ({"messages": []}, 400, "messages", "at least one message"),
        ({"messages": [{"role": "user"}]}, 400, "messages[0].content", "required"),
        ({"messages": [{"role": "king", "content": "a"}]}, 400, "messages[0].role", "must be one of"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            400,
            "messages[0].content[0].type",
            "text",
        ),
        ({"temperature": -1}, 400, "temperature", "from 0 to"),
        ({"temperature": "warm"}, 400, "temperature", "a number"),
        ({"n": 0}, 400, "n", "whole number"),
        ({"n": 100, "max_tokens": 0}, 400, "max_tokens", "whole number"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, 400, "max_tokens", "differ"),
        ({"top_logprobs": 3}, 400, "top_logprobs", "needs logprobs"),
        ({"frequency_penalty": 1}, 400, "frequency_penalty", "not supported"),
        ({"functions": []}, 400, "functions", "use tools"),
        ({"reasoning_effort": "high"}, 400, "reasoning_effort", "not supported"),
        ({"store": True}, 400, "store", "nothing is stored"),
        ({"extra_body": {"beams": 3}}, 400, "beams", "unknown parameter"),
        ({"extra_body": {"regex": "a", "lark": "start: /b/"}}, 400, "response_format", "one grammar"),
        ({"stream_options": {"include_usage": True}}, 400, "stream_options", "needs stream"),
        ({"response_format": {"type": "xml"}}, 400, "response_format.type", "none of"),
        ({"logit_bias": {"a": 200}}, 400, "logit_bias.a", "from -100"),
        ({"messages": [{"role": "user", "content": "a b " * 400}]}, 400, "messages", "shorten the prompt by at least "),
        ({"messages": [{"role": "user", "content": "a"}], "max_tokens": 9_999}, 400, "messages", "max_tokens can be "),
        ({"extra_body": {"regex": "("}}, 400, None, "not a grammar"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_refused_in_the_apis_own_form(
    client: openai.OpenAI, changes: dict[str, Any], status: int, param: str | None, words: str, stream: bool
) -> None:
    if stream and "stream_options" in changes:
        changes = changes | {"stream_options": {"include_usage": 3}}
        words = "true or false"
        param = "stream_options.include_usage"
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**ASK | changes, stream=stream)
    error = caught.value
    assert (error.status_code, error.param, error.type) == (status, param, "invalid_request_error")
    assert words in error.message


def test_a_prompt_that_is_too_long_is_told_by_how_much(client: openai.OpenAI) -> None:
    words = 700
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "a " * words}])
    found = re.search(
        r"has (\d+) tokens, the model's context 512: shorten the prompt by at least (\d+) tokens", str(caught.value)
    )
    assert found is not None
    assert int(found[2]) == int(found[1]) - 511
    assert caught.value.code == "context_length_exceeded"


def test_what_asks_for_nothing_is_taken(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(**ASK, max_tokens=4)
    nothing: dict[str, Any] = {
        "user": "me", "store": False, "frequency_penalty": 0, "service_tier": "auto", "modalities": ["text"],
        "parallel_tool_calls": None, "response_format": {"type": "text"}, "stream": False,
    }  # fmt: skip
    assert text(client.chat.completions.create(**ASK, max_tokens=4, **nothing)) == text(plain)


def test_everybody_gets_what_they_get_alone(server: Server, client: openai.OpenAI) -> None:
    asked = [
        {
            "model": "demo",
            "messages": [{"role": "user", "content": f"I can pay {number}." + " Well." * (number % 7)}],
            "temperature": 0.2 * (number % 6),
            "seed": number,
            "max_tokens": 20 + number,
            "logprobs": True,
        }
        for number in range(32)
    ]
    wrong = asked[0] | {"n": 0}

    def told(answer: ChatCompletion) -> Any:
        return answer.system_fingerprint, answer.usage, [choice.to_dict() for choice in answer.choices]

    async def together() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as clients:

            async def one(request: dict[str, Any], streams: bool) -> Any:
                if not streams:
                    return told(await clients.chat.completions.create(**request))
                chunks = [chunk async for chunk in await clients.chat.completions.create(**request, stream=True)]
                return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

            bad = [clients.chat.completions.create(**wrong) for _ in range(4)]
            streamed = [one(request, True) for request in asked[:8]]
            whole = [one(request, False) for request in asked]
            found = await asyncio.gather(*whole, *streamed, *bad, return_exceptions=True)
        assert all(isinstance(error, openai.BadRequestError) for error in found[40:])
        return found[:40]

    alone = [told(client.chat.completions.create(**request)) for request in asked]
    at_once = asyncio.run(together())
    assert at_once[:32] == alone
    assert at_once[32:] == [choices[0]["message"]["content"] for _, _, choices in alone[:8]]
    assert len({str(answer[2]) for answer in alone}) > 16
