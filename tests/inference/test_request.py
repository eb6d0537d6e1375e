from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.core.canonical import canonical
from turnwise.inference.request import (
    PROMPT_CHARS_MAX,
    STOP_COUNT_MAX,
    TOKENS_MAX_MAX,
    ChatMessage,
    Generation,
    Refusal,
    Sampling,
    error_body,
    ok_body,
    parse,
)


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


def test_null_means_not_given_where_a_value_is_optional() -> None:
    assert parsed(prompt="hi", messages=None, top_k=None, top_p=None, stop=None) == parsed(prompt="hi")


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
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": "a", "name": "b"}]}, "messages[0]"),
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
        st.sampled_from(["prompt", "tokens_max", "temperature", "top_k", "top_p", "stop", "messages"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        ),
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
    assert ok_body("é\n", "end", 3, 2) == '{"ok":{"finish":"end","prompt_tokens":2,"text":"é\\n","tokens":3}}'
    assert error_body("unknown", "no") == '{"error":{"kind":"unknown","message":"no"}}'
