"""`/v1/embeddings`, asked by the real client."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest

ASK: dict[str, Any] = {"model": "encoder", "input": ["abc", "b"]}


def test_vectors_come_in_order_with_their_tokens_counted(client: openai.OpenAI) -> None:
    both = client.embeddings.create(**ASK)  # as base64, which the client asks for
    numbers = client.embeddings.create(**ASK, encoding_format="float")
    assert [item.index for item in both.data] == [0, 1]
    assert [item.embedding for item in both.data] == [item.embedding for item in numbers.data]
    alone = client.embeddings.create(model="encoder", input="b")
    assert alone.data[0].embedding == both.data[1].embedding != both.data[0].embedding
    assert math.isclose(math.hypot(*alone.data[0].embedding), 1, rel_tol=1e-6)
    assert (both.usage.prompt_tokens, alone.usage.prompt_tokens) == (4, 1)  # bytes are tokens here


def test_dimensions_must_be_those_that_there_are(client: openai.OpenAI) -> None:
    count = len(client.embeddings.create(**ASK).data[0].embedding)
    assert len(client.embeddings.create(**ASK, dimensions=count).data[0].embedding) == count
    with pytest.raises(openai.BadRequestError, match=f"have {count}"):
        client.embeddings.create(**ASK, dimensions=count + 1)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [""]}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"model": "demo"}, "model"),
        ({"extra_body": {"truncate": True}}, "truncate"),
        ({"input": "x" * 100}, "messages"),
    ],
)
def test_what_is_wrong_is_refused_in_the_apis_own_form(
    client: openai.OpenAI, changes: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(**ASK | changes)
    assert caught.value.param == param
