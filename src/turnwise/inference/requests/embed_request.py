"""The `embed` effect: a request that texts become vectors, and its check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from turnwise.inference.requests.fields import Fields, check_count, check_unicode, refuse

TEXTS_COUNT_MAX: Final = 1024
TEXT_CHARS_MAX: Final = 4 * 1024 * 1024

_KEYS: Final = frozenset({"effect", "model", "texts", "truncate"})


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """A request of one turn, as it came: see `GenerateRequest` for `id` and `body`.

    - `counted`: whether the reply says, too, how many tokens each text has, as the tensor `tokens`
    """

    id: int
    model: str
    body: str
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Embedding:
    """A checked request.

    - `texts`: at least one, none of them empty
    - `truncate`: whether a text that is too long is cut off; else the request is refused
    """

    texts: tuple[str, ...]
    truncate: bool


def parse_embed(body: str) -> Embedding:
    """Check a request. Raises Refusal naming what is wrong with it."""
    fields = Fields(body)
    fields.check_known(_KEYS, "an embed request has model, texts, truncate")
    texts = fields.value("texts")
    if not isinstance(texts, list) or not texts:
        refuse("texts must be a list of at least one text")
    check_count("texts", len(texts), TEXTS_COUNT_MAX)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            refuse(f"texts[{index}] must be text")
        if not text:
            refuse(f"texts[{index}] is empty")
        check_unicode(f"texts[{index}]", text)
    if sum(map(len, texts)) > TEXT_CHARS_MAX:
        refuse(f"texts has more than {TEXT_CHARS_MAX:,} characters in all")
    truncate = fields.value("truncate") if fields.given("truncate") else False
    if not isinstance(truncate, bool):
        refuse("truncate must be true or false")
    return Embedding(tuple(texts), truncate)
