"""Requests in the words of the API: said as they were meant, or refused by name; and answers that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from turnwise.inference.endpoints.chat import chat_reply, chat_request
from turnwise.inference.requests.refusal import Refusal

HELLO = [{"role": "user", "content": "hello"}]


def request(**members: Any) -> dict[str, Any]:
    path, body, _ = chat_request("m", json.dumps({"effect": "generate", "model": "far", **members}), 7)
    assert path == ("/completions" if "prompt" in members else "/chat/completions")
    return body


def reply(value: Any, **members: Any) -> Any:
    members = members or {"messages": HELLO}
    _, _, asked = chat_request("m", json.dumps({"effect": "generate", "model": "far", **members}), 7)
    body, _ = chat_reply(value, asked)
    return json.loads(body)["ok"]


def completion(text: Any = "hi", finish: Any = "stop", **more: Any) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish, **more}
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def test_what_the_api_can_say_is_said() -> None:
    assert request(messages=HELLO) == {
        "model": "m",
        "messages": HELLO,
        "temperature": 0.0,
        "max_tokens": 128,
        "stream": False,
    }
    body = request(
        messages=HELLO,
        system="be brief",
        temperature=0.5,
        top_p=0.9,
        presence_penalty=1,
        tokens_max=5,
        stop=["."],
        logit_bias={"12": -3},
        logprobs=2,
        json_schema={"type": "object"},
    )
    assert body["messages"] == [{"role": "system", "content": "be brief"}, *HELLO]
    assert (body["temperature"], body["top_p"], body["presence_penalty"], body["seed"]) == (0.5, 0.9, 1.0, 7)
    assert (body["max_tokens"], body["stop"], body["logit_bias"]) == (5, ["."], {"12": -3.0})
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert "max_tokens" not in request(messages=HELLO, tokens_max="rest")
    assert request(prompt="once")["prompt"] == "once"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"top_k": 4}, "no top_k"),
        ({"min_p": 0.1}, "no min_p"),
        ({"repetition_penalty": 1.1}, "no repetition_penalty"),
        ({"regex": "a+"}, "no regex"),
        ({"lark": "start: /a/"}, "no lark"),
        ({"template": {"x": 1}}, "no template"),
        ({"on_full": "drop_oldest"}, 'no on_full = "drop_oldest"'),
        ({"logit_bias": {"word": 1}}, "by numbers of tokens only"),
        ({"top_k": 4, "min_p": 0.1}, "no top_k and no min_p"),
        ({"nonsense": 1}, "unknown key"),
    ],
)
def test_what_it_cannot_say_is_refused_by_name(members: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal) as refused:
        request(messages=HELLO, **members)
    assert refused.value.kind == "refused"
    assert said in refused.value.message


@pytest.mark.parametrize("members", [{"json_schema": {"type": "object"}}, {"logprobs": 1}, {"tokens_max": "rest"}])
def test_a_prompt_has_less(members: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match="send messages"):
        request(prompt="once", **members)


def test_answers() -> None:
    assert reply(completion()) == {"text": "hi", "finish": "end", "tokens": 2, "prompt_tokens": 3}
    assert reply(completion(finish="length"))["finish"] == "length"
    assert reply(completion(), messages=HELLO, stop=["."])["finish"] == "stop"
    assert reply(completion(None))["text"] == ""
    without = completion()
    del without["usage"]
    assert reply(without)["tokens"] is None
    assert reply({"choices": [{"text": "there was", "finish_reason": "length"}]}, prompt="once")["text"] == "there was"
    told = {
        "token": "hi",
        "logprob": -1,
        "top_logprobs": [{"token": "hi", "logprob": -1}, {"token": "x", "logprob": -2}],
    }
    found = reply(completion(logprobs={"content": [told]}), messages=HELLO, logprobs=1)["logprobs"]
    assert found == [{"id": None, "text": "hi", "logprob": -1.0, "top": [{"id": None, "text": "hi", "logprob": -1.0}]}]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({}, "unavailable"),
        ({"choices": []}, "unavailable"),
        ({"choices": [7]}, "unavailable"),
        ({"choices": [{"message": {}, "finish_reason": None}]}, "unavailable"),
        (completion(7), "unavailable"),
        (completion(finish="tool_calls"), "unavailable"),
        (completion(finish="content_filter"), "unavailable"),
        (completion(finish=["x" * 10_000]), "unavailable"),
        ({"choices": [{"message": {"refusal": "I will not"}, "finish_reason": "stop"}]}, "refused"),
    ],
)
def test_what_is_no_answer(value: Any, kind: str) -> None:
    with pytest.raises(Refusal) as refused:
        reply(value)
    assert refused.value.kind == kind
    assert len(refused.value.message) < 2_000


def test_an_answer_that_does_not_follow_its_schema_is_none() -> None:
    schema = {"type": "object", "required": ["price"], "properties": {"price": {"type": "integer"}}}
    members = {"messages": HELLO, "json_schema": schema}
    assert reply(completion('{"price": 3}'), **members)["text"] == '{"price": 3}'
    for text in ("three", '{"price": "3"}', "{}"):
        with pytest.raises(Refusal, match=r"JSON|schema"):
            reply(completion(text), **members)
    assert reply(completion('{"pri', "length"), **members)["finish"] == "length"  # cut off, as anywhere else


TOOLS: list[dict[str, Any]] = [
    {"name": "shop.price", "description": "The price", "parameters": {"properties": {"a": {}}}},
    {"name": "stop"},
]
CALL: dict[str, Any] = {"id": "c", "type": "function", "function": {"name": "shop.price", "arguments": {"a": 1}}}


def test_tools_are_told_by_names_that_the_api_takes() -> None:
    called = [*HELLO, {"role": "assistant", "content": "", "tool_calls": [CALL]}]
    called.append({"role": "tool", "content": "3", "tool_call_id": "c", "name": "shop.price"})
    body = request(messages=called, tools=TOOLS, tool_choice="required", calls_max=1)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["shop_price", "stop"]
    assert body["tools"][0] == {
        "type": "function",
        "function": {
            "name": "shop_price",
            "description": "The price",
            "parameters": {"type": "object", "properties": {"a": {}}},
        },
    }
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)
    assert body["messages"][1]["tool_calls"] == [CALL | {"function": {"name": "shop_price", "arguments": '{"a":1}'}}]
    assert body["messages"][2] == {"role": "tool", "content": "3", "tool_call_id": "c", "name": "shop_price"}
    only = request(messages=HELLO, tools=TOOLS, tool_choice={"mode": "auto", "tools": ["stop"]})
    assert ([tool["function"]["name"] for tool in only["tools"]], only["tool_choice"]) == (["stop"], "auto")
    assert "parallel_tool_calls" not in only
    assert request(messages=HELLO, tools=TOOLS, tool_choice="none")["tool_choice"] == "none"
    assert "tools" not in request(messages=called, tools=[])
    with pytest.raises(Refusal, match=r"a\.b and a_b have one name: a_b"):
        request(messages=HELLO, tools=[{"name": "a.b"}, {"name": "a_b"}])


def told_calls(*calls: tuple[Any, Any], text: Any = None, **members: Any) -> Any:
    made = [{"id": "x", "type": "function", "function": {"name": name, "arguments": args}} for name, args in calls]
    value = completion(text, "tool_calls")
    value["choices"][0]["message"]["tool_calls"] = made
    return reply(value, messages=HELLO, **{"tools": TOOLS, **members})


def test_calls_come_back_by_the_names_of_the_tools() -> None:
    found = told_calls(("shop_price", '{"a": 1}'), ("stop", ""), ("other", "{}"), text="So:")
    assert (found["text"], found["finish"]) == ("So:", "end")
    assert found["calls"] == [
        {"tool": "shop.price", "args": {"a": 1}},
        {"tool": "stop", "args": {}},
        {"tool": "other", "args": {}},
    ]
    assert told_calls(("stop", "{"))["calls"] == [{"tool": "stop", "args": None}]
    assert len(told_calls(("stop", "{}"), ("stop", "{}"), calls_max=1)["calls"]) == 1
    with pytest.raises(Refusal, match='ended by "tool_calls"'):
        told_calls(("stop", "{}"), tool_choice="none")
    assert told_calls(("stop", "{}"), json_schema={"type": "integer"})["calls"] == [{"tool": "stop", "args": {}}]
    assert reply(completion("Hi"), messages=HELLO, tools=TOOLS)["calls"] == []
    with pytest.raises(Refusal, match="'arguments' of type str"):
        told_calls(("stop", {}))
