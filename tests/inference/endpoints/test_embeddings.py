"""Vectors of endpoints: those of the texts that were sent, in their order, or an error."""

from __future__ import annotations

import json
import struct
from base64 import b64decode
from typing import Any

import pytest

from turnwise.inference.endpoints.embeddings import embed_reply, embed_request
from turnwise.inference.requests.refusal import Refusal

BODY = json.dumps({"effect": "embed", "model": "far", "texts": ["a", "b"]})


def reply(data: Any) -> Any:
    path, members, asked = embed_request("m", BODY)
    assert path == "/embeddings"
    assert members == {"model": "m", "input": ["a", "b"], "encoding_format": "float"}
    return json.loads(embed_reply({"data": data}, asked))["ok"]["vectors"]


def test_vectors_are_in_the_order_of_the_texts() -> None:
    found = reply([{"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": [1, 2]}])
    assert (found["dtype"], found["shape"]) == ("float32", [2, 2])
    assert struct.unpack("<4f", b64decode(found["data"])) == (1.0, 2.0, 3.0, 4.5)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [{"embedding": [1]}],
        [{"embedding": [1]}, {"embedding": [1, 2]}],
        [{"embedding": []}, {"embedding": []}],
        [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [2]}],
        [{"index": 0, "embedding": [1]}, {"index": 7, "embedding": [2]}],
        [{"embedding": ["x"]}, {"embedding": [1]}],
        [{"embedding": [True]}, {"embedding": [1]}],
        [{"embedding": [1e300]}, {"embedding": [1]}],
        [{"embedding": "AAAA"}, {"embedding": [1]}],
        [7, 8],
    ],
)
def test_what_is_no_vector(data: Any) -> None:
    with pytest.raises(Refusal) as refused:
        reply(data)
    assert refused.value.kind == "unavailable"


def test_what_the_api_cannot_say_is_refused() -> None:
    with pytest.raises(Refusal, match="no truncate"):
        embed_request("m", json.dumps({"effect": "embed", "model": "far", "texts": ["a"], "truncate": True}))
