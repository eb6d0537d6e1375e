"""Keeps what people and agents write from being taken for a model's special tokens.

A chat template writes special tokens between messages (`<|im_end|>` ends a turn), and the tokenizer recognises them by
their text. The same text inside a message, say in a mail that an agent passes on, would end the turn there, and what
follows could speak as the system. So before messages are rendered, a mark is put into whatever in them would read as a
special token, by itself or together with what the template or another message puts beside it. The mark is a surrogate,
which no message can hold and no tokenizer sees: it goes before the prompt is encoded, and a special token that is found
where a mark was is encoded as the plain text that it is.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

MARK: Final = "\ud800"
"""The mark: follows a character of a message that could be part of a special token."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt without marks, and where they were.

    - `text`: the prompt, without marks
    - `marks`: places (characters) that had a mark, rising; the character before each comes from a message
    """

    text: str
    marks: tuple[int, ...]

    @property
    def is_unicode(self) -> bool:
        """True if the text is Unicode; a template may write surrogates by itself."""
        return _SURROGATE.search(self.text) is None

    def is_forged(self, start: int, end: int) -> bool:
        """True if any of the characters from `start` to `end` may come from a message."""
        return bisect_right(self.marks, end) > bisect_right(self.marks, start)


class SpecialTokenMarker:
    """Mark special tokens in what messages say. `specials` are the texts of the tokenizer's control tokens."""

    def __init__(self, specials: Iterable[str]) -> None:
        texts = sorted({text for text in specials if text}, key=lambda text: (-len(text), text))
        self._first = frozenset(text[0] for text in texts)
        self._whole = re.compile(f"(?=(?:{'|'.join(re.escape(text) for text in texts)}))") if texts else None
        self._beginnings = frozenset(text[:count] for text in texts for count in range(1, len(text)))
        self._ends = frozenset(text[count:] for text in texts for count in range(1, len(text)))
        self._longest = max((len(text) for text in texts), default=0)

    def content(self, text: str) -> str:
        """Mark a message's text, so that no special token begins, ends or lies in it."""
        places = self._inside(text)
        for count in range(1, min(self._longest, len(text) + 1)):
            if text[-count:] in self._beginnings:
                places.add(len(text) - count + 1)
            if text[:count] in self._ends:
                places.add(1)
        return _marked(text, places)

    def value(self, value: Any) -> Any:
        """Mark the texts in any other JSON value of a request, so that no special token lies in them.

        Templates put their own signs around some (`<|{{ role }}|>`), so beginnings and ends are left alone.
        """
        if isinstance(value, str):
            return _marked(value, self._inside(value))
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, Mapping):
            return {self.value(key): self.value(item) for key, item in value.items()}
        return value

    def _inside(self, text: str) -> set[int]:
        if self._whole is None or self._first.isdisjoint(text):
            return set()
        return {match.start() + 1 for match in self._whole.finditer(text)}


def read_rendered(text: str) -> RenderedPrompt:
    """Take the marks out of a rendered prompt."""
    pieces = text.split(MARK)
    marks, place = [], 0
    for piece in pieces[:-1]:
        place += len(piece)
        marks.append(place)
    return RenderedPrompt("".join(pieces), tuple(marks))


def without_marks(text: str) -> str:
    """Take the marks out of a text for people, such as a template's error; other surrogates become U+FFFD."""
    return _SURROGATE.sub("\ufffd", text.replace(MARK, ""))


def _marked(text: str, places: set[int]) -> str:
    if not places:
        return text
    bounds = [0, *sorted(places), len(text)]
    return MARK.join(text[start:end] for start, end in pairwise(bounds))
