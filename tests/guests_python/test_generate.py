"""Asking models: what is sent, what is refused before it is sent, and how answers and errors come back."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from turnwise_guest import Alternative, Answer, EffectError, TokenLogprob, Turn
from turnwise_guest.generate import Prompt
from turnwise_guest.testing import make_turn

from .conftest import ENVELOPE, compact, no_bytes

OK = {"text": "früh", "finish": "length", "tokens": 3, "prompt_tokens": 7}
ERROR = {"kind": "denied", "message": "not granted"}


def turn_with(reply: object) -> tuple[Turn, list[str]]:
    """A turn whose every effect gets `reply`, and the requests it makes."""
    requests: list[str] = []

    def effect(request: str) -> str:
        requests.append(request)
        return compact(reply)

    return Turn(dict(ENVELOPE), effect, no_bytes), requests


def test_a_request_is_canonical_and_says_what_counts() -> None:
    t, requests = turn_with({"ok": OK})
    answer = t.generate("storyteller", "Ein Hund, ü")
    assert answer == Answer("früh", "length", 3, 7)
    assert str(answer) == "früh"
    assert requests == ['{"effect":"generate","model":"storyteller","prompt":"Ein Hund, ü","temperature":0.0}']


def test_all_options() -> None:
    t, requests = turn_with({"ok": OK})
    t.generate("m", "x", tokens_max=5, temperature=1, top_k=40, top_p=0.9, stop=("\n", "."))
    t.generate("m", "x", stop="END")
    first, second = map(json.loads, requests)
    assert first == {
        "effect": "generate",
        "model": "m",
        "prompt": "x",
        "tokens_max": 5,
        "temperature": 1.0,
        "top_k": 40,
        "top_p": 0.9,
        "stop": ["\n", "."],
    }
    assert second["stop"] == ["END"]


def test_what_else_can_be_asked() -> None:
    t, requests = turn_with({"ok": OK})
    t.generate(
        "m",
        messages=[{"role": "user", "content": "Hi"}],
        min_p=0.1,
        repetition_penalty=1,
        presence_penalty=-0.5,
        logit_bias={262: 1, " the": -100},
        logprobs=0,
        json_schema={"type": "object"},
        template={"enable_thinking": False},
        system="Be brief.",
        on_full="drop_oldest",
    )
    assert json.loads(requests[0]) == {
        "effect": "generate",
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.0,
        "min_p": 0.1,
        "repetition_penalty": 1.0,
        "presence_penalty": -0.5,
        "logit_bias": {"262": 1.0, " the": -100.0},
        "logprobs": 0,
        "json_schema": {"type": "object"},
        "template": {"enable_thinking": False},
        "system": "Be brief.",
        "on_full": "drop_oldest",
    }
    t.generate("m", "x", regex="a+", min_p=None, logprobs=None, system=None, on_full="error", stop=())
    assert json.loads(requests[1]).keys() == {"effect", "model", "prompt", "temperature", "regex"}
    t.generate("m", "x", on_full="drop_oldest")
    assert json.loads(requests[2])["on_full"] == "drop_oldest"
    t, requests = turn_with({"results": [{"ok": OK}] * 2})
    t.generate_all("m", ["x", "y"], lark="start: X", stop=iter(["a"]))
    assert [one["stop"] for one in json.loads(requests[0])["effects"]] == [["a"], ["a"]]


def test_what_an_answer_tells() -> None:
    told = {"id": 5, "text": "a", "logprob": -0.5, "top": [{"id": 5, "text": "a", "logprob": -0.5}]}
    t, _ = turn_with({"ok": OK | {"text": '{"bid": 3}', "logprobs": [told], "dropped": 2}})
    answer = t.generate("m", "x")
    assert answer.logprobs == (TokenLogprob(5, "a", -0.5, (Alternative(5, "a", -0.5),)),)
    assert answer.dropped == 2
    assert answer.json() == {"bid": 3}
    with pytest.raises(ValueError, match="column 7"):
        Answer('{"bid"', "length", 3, 7).json()
    assert pickle.loads(pickle.dumps(answer)) == answer


def test_a_conversation() -> None:
    t, requests = turn_with({"ok": OK})
    t.generate("m", messages=[{"role": "user", "content": "Hi"}])
    assert json.loads(requests[0])["messages"] == [{"role": "user", "content": "Hi"}]
    assert "prompt" not in json.loads(requests[0])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({}, TypeError, "either prompt or messages"),
        ({"prompt": "x", "messages": []}, TypeError, "either prompt or messages"),
        ({"prompt": ["x"]}, TypeError, "messages="),
        ({"messages": []}, ValueError, "messages is empty"),
        ({"messages": "hello"}, TypeError, "messages is a list"),
        ({"messages": [{"role": "user"}]}, TypeError, r"messages\[0\]"),
        ({"messages": [{"role": "user", "content": 5}]}, TypeError, r"messages\[0\]\['content'\] is a string"),
        ({"prompt": "x", "model": 5}, TypeError, "name of a model"),
        (
            {"prompt": "x", "max_tokens": 5},
            TypeError,
            "there is no option 'max_tokens'; there are calls_max, json_schema, lark",
        ),
        ({"prompt": "x", "min_p": 1.5}, ValueError, "min_p is a number from 0 to 1, not 1.5"),
        ({"prompt": "x", "repetition_penalty": 0}, ValueError, "repetition_penalty is a number from 0.1 to 10"),
        ({"prompt": "x", "presence_penalty": "a"}, TypeError, "presence_penalty is a number"),
        ({"prompt": "x", "logit_bias": [1]}, TypeError, "logit_bias is a dict"),
        ({"prompt": "x", "logit_bias": {1.5: 1}}, TypeError, "logit_bias names tokens by id or text, not 1.5"),
        ({"prompt": "x", "logit_bias": {"a": 101}}, ValueError, r"logit_bias\['a'\] is a number from -100 to 100"),
        ({"prompt": "x", "logprobs": 21}, ValueError, "logprobs is at most 20"),
        ({"prompt": "x", "json_schema": "{}"}, TypeError, "json_schema is a dict"),
        ({"prompt": "x", "regex": ""}, ValueError, "regex is empty"),
        ({"prompt": "x", "lark": 3}, TypeError, "lark is a text"),
        ({"prompt": "x", "lark": "a", "json_schema": {}}, ValueError, "json_schema and lark are given"),
        ({"prompt": "x", "system": "a"}, TypeError, "system goes with a conversation"),
        ({"prompt": "x", "template": {"a": 1}}, TypeError, "template goes with a conversation"),
        ({"prompt": "x", "on_full": "cut"}, ValueError, "on_full is 'error' or 'drop_oldest', not 'cut'"),
        ({"prompt": "x", "tokens_max": 0}, ValueError, "tokens_max is at least 1"),
        ({"prompt": "x", "tokens_max": 1.5}, TypeError, "tokens_max is a whole number"),
        ({"prompt": "x", "tokens_max": True}, TypeError, "tokens_max is a whole number"),
        ({"prompt": "x", "temperature": -0.1}, ValueError, "temperature"),
        ({"prompt": "x", "temperature": float("nan")}, ValueError, "temperature"),
        ({"prompt": "x", "temperature": "hot"}, TypeError, "temperature"),
        ({"prompt": "x", "top_k": 0}, ValueError, "top_k"),
        ({"prompt": "x", "top_p": 0}, ValueError, "top_p"),
        ({"prompt": "x", "top_p": 1.1}, ValueError, "top_p"),
        ({"prompt": "x", "stop": [""]}, ValueError, "empty stop"),
        ({"prompt": "x", "stop": [5]}, TypeError, "stop holds strings"),
        ({"prompt": "\ud800"}, TypeError, r"request\['prompt'\] has half a character"),
    ],
)
def test_wrong_calls_are_told_before_anything_is_asked(
    arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    t, requests = turn_with({"ok": OK})
    with pytest.raises(error, match=match):
        t.generate(**{"model": "m", **arguments})
    assert requests == []


def test_an_error_is_raised_with_its_kind() -> None:
    t, _ = turn_with({"error": ERROR})
    with pytest.raises(EffectError, match=r"^denied: not granted$") as caught:
        t.generate("m", "x")
    assert (caught.value.kind, caught.value.message) == ("denied", "not granted")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_many_are_asked_at_once_and_come_back_in_order() -> None:
    t, requests = turn_with({"results": [{"ok": {**OK, "text": str(n)}} for n in range(3)]})
    prompts: tuple[Prompt, ...] = ("a", [{"role": "user", "content": "b"}], "c")
    assert [answer.text for answer in t.generate_all("m", prompts, tokens_max=9, stop=iter(["."]))] == ["0", "1", "2"]
    (request,) = map(json.loads, requests)
    assert [one.get("prompt") for one in request["effects"]] == ["a", None, "c"]
    assert all(one["tokens_max"] == 9 and one["stop"] == ["."] for one in request["effects"])


def test_nothing_to_ask_is_no_effect() -> None:
    t, requests = turn_with({})
    assert t.generate_all("m", []) == []
    assert requests == []


def test_one_text_is_no_list_of_prompts() -> None:
    t, _ = turn_with({})
    with pytest.raises(TypeError, match="a list of texts"):
        t.generate_all("m", "hello")


def test_errors_among_many_are_raised_or_returned() -> None:
    t, _ = turn_with({"results": [{"ok": OK}, {"error": ERROR}]})
    with pytest.raises(EffectError, match="denied"):
        t.generate_all("m", ["a", "b"])
    answer, error = t.generate_all("m", ["a", "b"], return_errors=True)
    assert isinstance(answer, Answer)
    assert isinstance(error, EffectError)
    assert error.kind == "denied"


def test_a_turn_made_for_a_test_asks_its_model() -> None:
    def model(request: dict[str, Any]) -> str:
        if request["prompt"] == "bad":
            raise EffectError("refused", "no")
        return str(request["prompt"]).upper()

    t = make_turn(generate=model)
    assert t.generate("m", "a b").text == "A B"
    assert [type(one) for one in t.generate_all("m", ["a", "bad"], return_errors=True)] == [Answer, EffectError]
    with pytest.raises(EffectError, match="has no model"):
        make_turn().generate("m", "x")
