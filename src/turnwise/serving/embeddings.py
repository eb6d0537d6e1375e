"""`/v1/embeddings`: texts become vectors."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from turnwise.core.canonical import canonical
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.requests.embed_request import TEXTS_COUNT_MAX, EmbedRequest
from turnwise.inference.requests.fields import shown
from turnwise.serving.api_error import refuse, unsupported
from turnwise.serving.catalogue import read_model
from turnwise.serving.dispatcher import Answers, MakeRequest
from turnwise.serving.exchange import Origin
from turnwise.serving.parameters import Parameters


@dataclass(frozen=True, slots=True)
class EmbeddingExchange:
    """A request to embed texts.

    - `as_base64`: whether vectors are told as base64 of little-endian float32, instead of as numbers
    - `dimensions`: that the vectors must have; None for as many as there are
    """

    model: ModelInfo
    requests: Sequence[MakeRequest]
    as_base64: bool
    dimensions: int | None
    streams: bool = False

    async def whole(self, answers: Answers, origin: Origin) -> dict[str, Any]:
        (reply,) = await answers.replies()
        count, dimensions = reply["vectors"]["shape"]
        if self.dimensions not in (None, dimensions):
            unsupported("dimensions", f"the vectors of this model have {dimensions}")
        data = base64.b64decode(reply["vectors"]["data"])
        size = 4 * dimensions
        vectors = [data[index * size : (index + 1) * size] for index in range(count)]
        tokens = sum(struct.unpack(f"<{count}q", base64.b64decode(reply["tokens"]["data"])))
        return {
            "object": "list",
            "model": origin.model.name,
            "data": [
                {"object": "embedding", "index": index, "embedding": self._told(vector)}
                for index, vector in enumerate(vectors)
            ],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    async def events(self, answers: Answers, origin: Origin) -> AsyncIterator[tuple[str | None, Any]]:
        """Yield the whole answer: vectors are not streamed."""
        yield None, await self.whole(answers, origin)

    def _told(self, vector: bytes) -> str | list[float]:
        if self.as_base64:
            return base64.b64encode(vector).decode("ascii")
        return list(struct.unpack(f"<{len(vector) // 4}f", vector))


def read_embedding(members: Parameters, models: Mapping[str, ModelInfo]) -> EmbeddingExchange:
    """Read a request. Raises ApiError naming what is wrong with it, or is not supported."""
    info = read_model(members, models, "embed")
    value = members.take("input")
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        refuse("input must be text, or a list of texts", "input", "missing_required_parameter")
    if len(texts) > TEXTS_COUNT_MAX:
        refuse(f"input has {len(texts)} texts, at most {TEXTS_COUNT_MAX} are allowed", "input")
    for index, text in enumerate(texts):
        if isinstance(text, int | list):
            unsupported("input", "tokens by number are not taken: give text")
        if not isinstance(text, str) or not text:
            refuse(f"input[{index}] must be text that is not empty", "input")
    form = members.text("encoding_format") or "float"
    if form not in ("float", "base64"):
        refuse(f"encoding_format must be float or base64, not {shown(form)}", "encoding_format", "invalid_value")
    dimensions = members.integer("dimensions", 1, 2**31 - 1)
    members.ignored("user")
    members.done()
    body = canonical({"texts": texts})

    def make(number: int) -> EmbedRequest:
        return EmbedRequest(number, info.name, body, counted=True)

    return EmbeddingExchange(info, [partial(make)], form == "base64", dimensions)
