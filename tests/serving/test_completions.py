"""`/v1/completions`, asked by the real client."""

from __future__ import annotations

from typing import Any

import openai
import pytest

ASK: dict[str, Any] = {"model": "demo", "prompt": "I can pay 40."}


def test_a_text_goes_on_for_16_tokens_unless_more_are_asked_for(client: openai.OpenAI) -> None:
    answer = client.completions.create(**ASK, seed=2)
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 16
    longer = client.completions.create(**ASK, seed=2, max_tokens=60)
    assert longer.choices[0].text.startswith(answer.choices[0].text)
    assert longer.choices[0].finish_reason == "stop"
    assert answer.id.startswith("cmpl-")


def test_texts_get_their_answers_in_order(client: openai.OpenAI) -> None:
    prompts = ["I can pay 40.", "I will take 90."]
    both = client.completions.create(model="demo", prompt=prompts, n=2, seed=1, echo=True)
    assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
    assert [choice.text.startswith(prompts[index // 2]) for index, choice in enumerate(both.choices)] == [True] * 4
    alone = client.completions.create(model="demo", prompt=prompts[1], n=2, seed=1)
    assert [prompts[1] + choice.text for choice in alone.choices] == [choice.text for choice in both.choices[2:]]


@pytest.mark.parametrize("echo", [False, True])
def test_a_stream_says_what_the_whole_answer_says(client: openai.OpenAI, echo: bool) -> None:
    asked = ASK | {"seed": 2, "max_tokens": 60, "n": 2, "echo": echo, "logprobs": None if echo else 1}
    whole = client.completions.create(**asked)
    *parts, last = client.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    assert (last.choices, last.usage) == ([], whole.usage)
    for choice in whole.choices:
        own = [part.choices[0] for part in parts if part.choices[0].index == choice.index]
        assert "".join(part.text for part in own) == choice.text
        assert [part.finish_reason for part in own] == [None] * (len(own) - 1) + [choice.finish_reason]
        if choice.logprobs is not None:
            told = [part.logprobs for part in own if part.logprobs is not None]
            assert [token for entry in told for token in entry.tokens or ()] == choice.logprobs.tokens
            assert [offset for entry in told for offset in entry.text_offset or ()] == choice.logprobs.text_offset


def test_log_probabilities_lie_where_their_offsets_say(client: openai.OpenAI) -> None:
    (choice,) = client.completions.create(**ASK, logprobs=2, seed=3).choices
    assert choice.logprobs is not None
    tokens, offsets = choice.logprobs.tokens or [], choice.logprobs.text_offset or []
    assert "".join(tokens) == choice.text
    assert [choice.text[offset : offset + len(token)] for token, offset in zip(tokens, offsets, strict=True)] == tokens
    assert all(len(top) == 2 for top in choice.logprobs.top_logprobs or ())


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": 40}, "logprobs"),
        ({"logprobs": 1, "echo": True}, "echo"),
        ({"extra_body": {"messages": []}}, "messages"),
    ],
)
def test_what_is_wrong_is_refused_in_the_apis_own_form(
    client: openai.OpenAI, changes: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**ASK | changes)
    assert caught.value.param == param
