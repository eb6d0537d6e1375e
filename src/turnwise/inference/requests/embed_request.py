"""The `embed` effect: texts that become vectors, checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from turnwise.core.canonical import canonical
from turnwise.inference.requests.refusal import Refusal

TEXTS_COUNT_MAX: Final = 1024
TEXT_CHARS_MAX: Final = 4 * 1024 * 1024

_KEYS: Final = frozenset({"effect", "model", "texts", "truncate"})


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """A request of one turn. `body` is the effect request's canonical JSON text; `id` as in `GenerateRequest`."""

    id: int
    model: str
    body: str


@dataclass(frozen=True, slots=True)
class Embedding:
    """A checked request. `truncate`: a text that is too long is cut off instead of being refused."""

    texts: tuple[str, ...]
    truncate: bool


def parse_embed(body: str) -> Embedding:
    """Check a request. Raises Refusal naming what is wrong with it."""
    try:
        value = json.loads(body)
        body.encode()
    except (ValueError, RecursionError) as error:
        raise Refusal("refused", "the request is not JSON text") from error
    if not isinstance(value, dict):
        raise Refusal("refused", "the request must be a JSON object")
    unknown = sorted(value.keys() - _KEYS)
    if unknown:
        shown = canonical(unknown[0][:60])
        raise Refusal("refused", f"unknown key {shown}: an embed request has model, texts, truncate")
    texts, truncate = value.get("texts"), value.get("truncate", False)
    if not isinstance(texts, list) or not texts:
        raise Refusal("refused", "texts must be a list of at least one text")
    if len(texts) > TEXTS_COUNT_MAX:
        raise Refusal("refused", f"texts has {len(texts)} entries, at most {TEXTS_COUNT_MAX} are allowed")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise Refusal("refused", f"texts[{index}] must be text")
        if not text:
            raise Refusal("refused", f"texts[{index}] is empty")
        try:
            text.encode()
        except UnicodeEncodeError:
            message = f"texts[{index}] holds a surrogate that stands alone, which is not Unicode text"
            raise Refusal("refused", message) from None
    if sum(map(len, texts)) > TEXT_CHARS_MAX:
        raise Refusal("refused", f"texts has more than {TEXT_CHARS_MAX:,} characters in all")
    if not isinstance(truncate, bool):
        raise Refusal("refused", "truncate must be true or false")
    return Embedding(tuple(texts), truncate)
