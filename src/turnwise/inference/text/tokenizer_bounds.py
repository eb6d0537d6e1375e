"""Bounds of a `tokenizer.json`, so that the work and the memory of encoding follow from the size of a text.

A tokenizer is data that can be made to grow a text without bound (replacements of replacements), to look at it again
and again, or to choose at random. That is told from the file, so it is an error when the model is loaded.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from turnwise.inference.text.expression.known import unknown_expression
from turnwise.inference.text.expression.steps import CountedExpression
from turnwise.inference.text.expression.syntax import Uncountable

GROWTH_MAX: Final = 1_000
"""Largest growth of a text, in multiples of its size. NFKC alone can make eighteen characters of one."""
GROWN_CHARS_MAX: Final = 16 * 1024 * 1024
"""Characters that a text could become at most, all growth supposed. The library takes 1 to 2 s for a million."""
WORD_CHARS_MAX: Final = 1_000
"""Characters of a word for WordPiece, which looks at each of them from each."""
PIECE_CHARS_MAX: Final = 64
"""Characters of a piece for Unigram, which looks for pieces of all lengths from each. SentencePiece makes 16."""

_GROWTH: Final = {
    "BertNormalizer": 12, "ByteLevel": 4, "Lowercase": 3, "NFC": 3, "NFD": 4, "NFKC": 18, "NFKD": 18, "Nmt": 1,
    "Strip": 1, "StripAccents": 1,
}  # fmt: skip
"""Characters that a normaliser can make of one."""


class OutOfBounds(ValueError):
    """Raised for a tokenizer that does what is not allowed; the message says what."""


@dataclass(frozen=True, slots=True)
class TextBounds:
    """Bounds of what a tokenizer can make of a text.

    - `growth`, `added`: it becomes at most `growth` times as many characters, and `added` more
    - `counted`: it has expressions whose steps are counted for each text
    """

    growth: float
    added: int
    counted: bool = False

    def allow(self, chars: int) -> bool:
        """True if a text of so many characters is surely of a size that can be encoded."""
        return chars * self.growth + self.added <= GROWN_CHARS_MAX


def text_bounds(content: dict[str, Any]) -> TextBounds:
    """Check a `tokenizer.json`. Raises OutOfBounds."""
    model = _table(content.get("model"))
    if model.get("dropout"):
        raise OutOfBounds("its BPE drops merges at random (dropout), so that no text has tokens of its own")
    if _number(model.get("max_input_chars_per_word")) > WORD_CHARS_MAX:
        raise OutOfBounds(f"max_input_chars_per_word is more than {WORD_CHARS_MAX}")
    if isinstance(vocabulary := model.get("vocab"), list):  # Unigram: pairs of a piece and its score
        longest = max((len(item[0]) for item in vocabulary if isinstance(item, list) and item), default=0)
        if longest > PIECE_CHARS_MAX:
            raise OutOfBounds(f"a piece has {longest} characters, at most {PIECE_CHARS_MAX} are allowed")
    for part in _parts(content.get("post_processor"), "processors"):
        pieces = part.get("single")
        count = sum(1 for piece in pieces if "Sequence" in _table(piece)) if isinstance(pieces, list) else 1
        if count > 1:
            raise OutOfBounds(f"its post-processor repeats a text {count} times")
    _check(_bounds(content.get("decoder"), "decoders"), "decoder")
    found = _check(_bounds(content.get("normalizer"), "normalizers"), "normalizer")
    return replace(found, counted=_has_unknown_expressions(content))


def _has_unknown_expressions(content: dict[str, Any]) -> bool:
    """Return whether expressions are to be counted. Raises OutOfBounds for those that cannot be."""
    for step in _parts(content.get("decoder"), "decoders"):
        if (expression := unknown_expression(step)) is not None:
            raise OutOfBounds(f"its decoder matches {expression!r}, and only the expressions of public models can")
    steps = [*_parts(content.get("normalizer"), "normalizers"), *_parts(content.get("pre_tokenizer"), "pretokenizers")]
    unknown = [expression for step in steps if (expression := unknown_expression(step)) is not None]
    for expression in unknown:
        try:
            CountedExpression(expression)
        except Uncountable as error:
            raise OutOfBounds(f"what {expression!r} takes cannot be counted: it {error}") from None
    return bool(unknown)


def _check(bounds: TextBounds, what: str) -> TextBounds:
    if bounds.growth > GROWTH_MAX or bounds.added > GROWN_CHARS_MAX // 2:
        raise OutOfBounds(f"its {what} can make a text more than {GROWTH_MAX} times as long")
    return bounds


def _bounds(part: Any, key: str) -> TextBounds:
    growth, added = 1.0, 0.0
    for step in _parts(part, key):
        factor, more = _step(step)
        growth, added = growth * max(factor, 1.0), added * max(factor, 1.0) + more
        if growth > GROWTH_MAX * 1e6:
            break
    return TextBounds(growth, int(min(added, 2.0 * GROWN_CHARS_MAX)))


def _step(step: dict[str, Any]) -> tuple[float, int]:
    """Return how many characters one step can make of one, and how many it adds to a text."""
    kind = step.get("type")
    if kind == "Replace":
        text = str(step.get("content", ""))
        pattern = _table(step.get("pattern")).get("String")
        # An expression may match nothing, between any two characters.
        return (len(text) / max(len(pattern), 1), 0) if isinstance(pattern, str) else (len(text) + 1, len(text))
    if kind == "Prepend":
        return 1.0, len(str(step.get("prepend", "")))
    if kind == "Precompiled":
        return float(_longest(step.get("precompiled_charsmap"))), 0
    return float(_GROWTH.get(str(kind), 1)), 0


def _longest(charsmap: Any) -> int:
    """Bytes of the longest text in a SentencePiece character map, after its trie."""
    try:
        data = base64.b64decode(charsmap, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return 1  # the library will refuse it
    start = 4 + int.from_bytes(data[:4], "little")
    return max(map(len, data[start:].split(b"\0")))


def _parts(part: Any, key: str, depth: int = 16) -> Iterator[dict[str, Any]]:
    """Yield the steps of a sequence of steps, in order."""
    table = _table(part)
    if not depth:
        raise OutOfBounds("its parts are nested too deeply")
    if isinstance(inner := table.get(key), list):
        for item in inner:
            yield from _parts(item, key, depth - 1)
    elif table:
        yield table


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0
