"""The `embed` effect in the words of the OpenAI API."""

from __future__ import annotations

import math
import struct
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.inference.requests.embed_request import Embedding, parse_embed
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import OUTPUT_BYTES_MAX, Tensor, to_json

FLOAT32_MAX: Final = 3.4028234663852886e38


def embed_request(model: str, body: str) -> tuple[str, dict[str, Any], Embedding]:
    """Return the path, the body and the checked form of a request. Raises Refusal for what the API cannot say."""
    asked = parse_embed(body)
    if asked.truncate:
        raise Refusal("refused", "the model is behind a URL, whose API has no truncate")
    return "/embeddings", {"model": model, "input": list(asked.texts), "encoding_format": "float"}, asked


def embed_reply(value: Any, asked: Embedding) -> str:
    """Return the reply to an agent: the tensor `vectors`, a row a text. Raises Refusal for what is no answer."""
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, list) or len(data) != len(asked.texts):
        raise Refusal("unavailable", f"the answer of the endpoint has not the vectors of {len(asked.texts)} texts")
    rows: dict[int, list[float]] = {}
    for number, entry in enumerate(data):
        index = entry.get("index", number) if isinstance(entry, dict) else None
        row = entry.get("embedding") if isinstance(entry, dict) else None
        if type(index) is not int or not isinstance(row, list) or not all(_is_number(one) for one in row):
            raise Refusal("unavailable", "the answer of the endpoint has a vector that is none")
        rows[index] = row
    if rows.keys() != set(range(len(asked.texts))) or len({len(row) for row in rows.values()}) != 1 or not rows[0]:
        raise Refusal("unavailable", "the answer of the endpoint has vectors that do not belong together")
    columns = len(rows[0])
    if len(rows) * columns * 4 > OUTPUT_BYTES_MAX:
        raise Refusal("refused", f"the vectors have more than {OUTPUT_BYTES_MAX:,} bytes: embed fewer texts at once")
    elements = b"".join(struct.pack(f"<{columns}f", *rows[number]) for number in range(len(rows)))
    return canonical({"ok": {"vectors": to_json(Tensor("float32", (len(rows), columns), elements))}})


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -FLOAT32_MAX <= value <= FLOAT32_MAX and not math.isnan(value)
