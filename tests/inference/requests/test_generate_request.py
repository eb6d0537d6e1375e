from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.core.canonical import canonical
from turnwise.inference.requests.generate_request import (
    _KEYS,
    PROMPT_CHARS_MAX,
    STOP_COUNT_MAX,
    TOKENS_MAX_MAX,
    ChatMessage,
    Generation,
    GrammarSource,
    Sampling,
    ok_body,
    parse,
)
from turnwise.inference.requests.refusal import Refusal, error_body


def parsed(**request: Any) -> Generation:
    return parse(canonical({"effect": "generate", "model": "m"} | request))


def test_a_prompt_alone_is_greedy() -> None:
    assert parsed(prompt="hi") == Generation("hi", (), None, Sampling(0.0, None, None), ())


def test_everything_that_can_be_asked() -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": ""}]
    generation = parsed(messages=messages, tokens_max=7, temperature=1, top_k=40, top_p=0.9, stop=["\n", "END"])
    assert generation.prompt is None
    assert generation.messages == (ChatMessage("user", "hi"), ChatMessage("assistant", ""))
    assert generation.tokens_max == 7
    assert generation.sampling == Sampling(1.0, 40, 0.9)
    assert generation.stop == ("\n", "END")


def test_what_else_can_be_asked() -> None:
    generation = parsed(
        messages=[{"role": "user", "content": "hi"}],
        system="Be brief.",
        min_p=0.1,
        repetition_penalty=1.5,
        presence_penalty=-1,
        logit_bias={" the": -100, "12": 2.5},
        logprobs=0,
        json_schema={"type": "object"},
        template={"enable_thinking": False, "tools": []},
        on_full="drop_oldest",
    )
    assert generation.messages == (ChatMessage("system", "Be brief."), ChatMessage("user", "hi"))
    assert generation.sampling == Sampling(0.0, None, None, 0.1, 1.5, -1.0)
    assert generation.logit_bias == ((" the", -100.0), ("12", 2.5))
    assert generation.logprobs == 0
    assert generation.grammar == GrammarSource("json_schema", '{"type":"object"}')
    assert generation.template == {"enable_thinking": False, "tools": []}
    assert generation.on_full == "drop_oldest"
    assert parsed(prompt="a", regex="b+").grammar == GrammarSource("regex", "b+")
    assert parsed(prompt="a", lark="start: X").grammar == GrammarSource("lark", "start: X")


def test_null_means_not_given_where_a_value_is_optional() -> None:
    optional = ("messages", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "stop", "logit_bias")
    optional += ("logprobs", "json_schema", "regex", "lark", "template", "system", "on_full")
    assert parsed(prompt="hi", **dict.fromkeys(optional)) == parsed(prompt="hi")


@pytest.mark.parametrize(
    ("request_keys", "named"),
    [
        ({}, "prompt"),
        ({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, "prompt"),
        ({"prompt": ""}, "prompt must not be empty"),
        ({"prompt": 3}, "prompt must be text, not a number"),
        ({"prompt": "a", "max_tokens": 3}, 'unknown key "max_tokens"'),
        ({"prompt": "a", "tokens_max": 0}, "tokens_max"),
        ({"prompt": "a", "tokens_max": TOKENS_MAX_MAX + 1}, "tokens_max"),
        ({"prompt": "a", "tokens_max": True}, "tokens_max"),
        ({"prompt": "a", "tokens_max": 2.0}, "tokens_max"),
        ({"prompt": "a", "tokens_max": None}, "tokens_max"),
        ({"prompt": "a", "temperature": -0.1}, "temperature"),
        ({"prompt": "a", "temperature": 101}, "temperature"),
        ({"prompt": "a", "temperature": 10**400}, "temperature"),
        ({"prompt": "a", "temperature": "hot"}, "temperature must be a number from 0 (greedy) to 100, not text"),
        ({"prompt": "a", "temperature": False}, "temperature"),
        ({"prompt": "a", "top_k": 0}, "top_k"),
        ({"prompt": "a", "top_k": "x"}, "top_k"),
        ({"prompt": "a", "top_p": 0}, "top_p"),
        ({"prompt": "a", "top_p": 1.5}, "top_p"),
        ({"prompt": "a", "stop": "x"}, "stop must be a list of texts, not text"),
        ({"prompt": "a", "stop": [""]}, "stop[0]"),
        ({"prompt": "a", "stop": ["a", 1]}, "stop[1]"),
        ({"prompt": "a", "stop": ["x"] * 10_000}, "stop has 10000 entries, at most 16"),
        ({"prompt": "a", "stop": ["x" * 257]}, "stop[0]"),
        ({"prompt": "a", "min_p": -0.1}, "min_p must be a number from 0 to 1, not -0.1"),
        ({"prompt": "a", "min_p": True}, "min_p"),
        ({"prompt": "a", "repetition_penalty": 0}, "repetition_penalty must be a number from 0.1 to 10"),
        ({"prompt": "a", "repetition_penalty": "x"}, "repetition_penalty"),
        ({"prompt": "a", "presence_penalty": 101}, "presence_penalty must be a number from -100 to 100, not 101"),
        ({"prompt": "a", "logit_bias": [1]}, "logit_bias must be an object of numbers by token, not a list"),
        ({"prompt": "a", "logit_bias": {"a": 101}}, 'logit_bias["a"] must be a number from -100 to 100, not 101'),
        ({"prompt": "a", "logit_bias": {"a": None}}, 'logit_bias["a"]'),
        ({"prompt": "a", "logit_bias": {"": 1}}, "logit_bias has a token of 0 characters"),
        ({"prompt": "a", "logit_bias": {str(n): 1 for n in range(1025)}}, "logit_bias has 1025 entries, at most 1024"),
        ({"prompt": "a", "logprobs": 21}, "logprobs must be a whole number from 0 to 20, not 21"),
        ({"prompt": "a", "logprobs": True}, "logprobs"),
        ({"prompt": "a", "json_schema": "{}"}, "json_schema must be an object, not text"),
        ({"prompt": "a", "json_schema": {"title": "x" * 32_768}}, "json_schema has 32780 characters, at most 32768"),
        ({"prompt": "a", "regex": ""}, "regex must not be empty"),
        ({"prompt": "a", "regex": ["a"]}, "regex must be text, not a list"),
        ({"prompt": "a", "regex": "a" * 2_049}, "regex has 2049 characters, at most 2048"),
        ({"prompt": "a", "lark": "a" * 8_193}, "lark has 8193 characters, at most 8192"),
        ({"prompt": "a", "regex": "a", "lark": "b"}, "regex and lark are given: an answer follows one grammar"),
        ({"prompt": "a", "template": {"x": 1}}, "template goes with messages"),
        ({"messages": [{"role": "user", "content": "a"}], "template": [1]}, "template must be an object, not a list"),
        ({"messages": [{"role": "user", "content": "a"}], "template": {"a b": 1}}, "no name that a template can know"),
        ({"messages": [{"role": "user", "content": "a"}], "template": {"a": "x" * 65_536}}, "template has 65544"),
        ({"prompt": "a", "system": "b"}, "system goes with messages"),
        ({"messages": [{"role": "system", "content": "a"}], "system": "b"}, "one of them is too many"),
        ({"messages": [{"role": "user", "content": "a"}], "system": ""}, "system must not be empty"),
        ({"messages": [{"role": "user", "content": "a"}], "system": 3}, "system must be text, not a number"),
        ({"prompt": "a", "on_full": "cut"}, 'on_full must be "error" or "drop_oldest", not "cut"'),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": "a", "weight": 1}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content must be text, not a list"),
        ({"messages": [{"role": "", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "r", "content": ""}] * 10_001}, "messages has 10001 entries"),
        ({"prompt": "x" * (PROMPT_CHARS_MAX + 1)}, "prompt has 4194305 characters"),
    ],
)
def test_what_is_wrong_is_refused_and_named(request_keys: dict[str, Any], named: str) -> None:
    with pytest.raises(Refusal) as caught:
        parsed(**request_keys)
    assert caught.value.kind == "refused"
    assert named in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("body", ["", "{", "[]", "3", '{"prompt": NaN}', "[" * 100_000, '{"prompt": "\\ud800"}'])
def test_what_is_no_request_at_all(body: str) -> None:
    with pytest.raises(Refusal):
        parse(body)


@given(
    st.dictionaries(
        st.sampled_from(sorted(_KEYS)),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=5,
        ),
        max_size=5,
    )
)
def test_hostile_requests_are_parsed_or_refused(request_keys: dict[str, Any]) -> None:
    try:
        generation = parse(json.dumps(request_keys))
    except Refusal:
        return
    assert (generation.prompt is None) != (not generation.messages)
    assert generation.tokens_max is None or 1 <= generation.tokens_max <= TOKENS_MAX_MAX
    assert len(generation.stop) <= STOP_COUNT_MAX


def test_replies_are_canonical() -> None:
    told = ok_body("a", "stop", 1, 2, logprobs=[{"text": "a", "id": 1, "logprob": -0.5, "top": []}], dropped=0)
    assert told == (
        '{"ok":{"dropped":0,"finish":"stop","logprobs":[{"id":1,"logprob":-0.5,"text":"a","top":[]}],'
        '"prompt_tokens":2,"text":"a","tokens":1}}'
    )
    assert ok_body("é\n", "end", 3, 2) == '{"ok":{"finish":"end","prompt_tokens":2,"text":"é\\n","tokens":3}}'
    assert error_body("unknown", "no") == '{"error":{"kind":"unknown","message":"no"}}'
