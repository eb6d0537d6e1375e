"""String operations that see a text as it is and keep its marks (`special_tokens`).

A chat template looks at what messages say (`'</think>' in message.content`), and takes it apart. It must see the text
without marks, and the parts must keep theirs. Every operation finds its places in the plain text and cuts the marked
one there. Texts without marks, nearly all, go straight to `str`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from turnwise.inference.text.special_tokens import MARK


def plain(text: str) -> str:
    """Return the text without marks."""
    return text.replace(MARK, "") if MARK in text else text


class Cutter:
    """Cut a marked text at places of its plain text."""

    __slots__ = ("_at", "plain", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.plain = plain(text)
        self._at: list[int] | None = None
        if len(self.plain) != len(text):
            self._at = [at for at, letter in enumerate(text) if letter != MARK]
            self._at.append(len(text))

    def cut(self, start: int, stop: int) -> str:
        """Return the characters from `start` to `stop`, each with the mark behind it."""
        if start >= stop:
            return ""
        return self.text[start:stop] if self._at is None else self.text[self._at[start] : self._at[stop]]

    def parts(self, found: Iterable[str], gap: int) -> list[str]:
        """Cut out parts that follow each other in the plain text, `gap` characters between two."""
        parts, at = [], 0
        for part in found:
            parts.append(self.cut(at, at + len(part)))
            at += len(part) + gap
        return parts

    def found_parts(self, found: Iterable[str]) -> list[str]:
        """Cut out parts that occur in this order in the plain text, with anything between two."""
        parts, at = [], 0
        for part in found:
            at = self.plain.index(part, at)
            parts.append(self.cut(at, at + len(part)))
            at += len(part)
        return parts


def characters(text: str) -> Iterator[str]:
    """Yield the characters, each with the mark behind it."""
    if MARK not in text:
        yield from text
        return
    cutter = Cutter(text)
    for place in range(len(cutter.plain)):
        yield cutter.cut(place, place + 1)


def item(text: str, index: int) -> str:
    """Return the character at `index`. Raises IndexError."""
    if MARK not in text:
        return text[index]
    place = range(len(plain(text)))[index]
    return Cutter(text).cut(place, place + 1)


def sliced(text: str, start: int | None, stop: int | None, step: int | None) -> str:
    if MARK not in text:
        return text[start:stop:step]
    cutter = Cutter(text)
    first, last, by = slice(start, stop, step).indices(len(cutter.plain))
    if by == 1:
        return cutter.cut(first, last)
    return "".join(cutter.cut(place, place + 1) for place in range(first, last, by))


def strip(text: str, chars: str | None = None) -> str:
    return lstrip(rstrip(text, chars), chars)


def lstrip(text: str, chars: str | None = None) -> str:
    cutter = Cutter(text)
    left = cutter.plain.lstrip(None if chars is None else plain(chars))
    return cutter.cut(len(cutter.plain) - len(left), len(cutter.plain))


def rstrip(text: str, chars: str | None = None) -> str:
    cutter = Cutter(text)
    return cutter.cut(0, len(cutter.plain.rstrip(None if chars is None else plain(chars))))


def split(text: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    cutter = Cutter(text)
    if sep is None:
        return cutter.found_parts(cutter.plain.split(None, maxsplit))
    sep = plain(sep)
    return cutter.parts(cutter.plain.split(sep, maxsplit), len(sep))


def rsplit(text: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    cutter = Cutter(text)
    if sep is None:
        return cutter.found_parts(cutter.plain.rsplit(None, maxsplit))
    sep = plain(sep)
    return cutter.parts(cutter.plain.rsplit(sep, maxsplit), len(sep))


def splitlines(text: str, keepends: bool = False) -> list[str]:
    cutter = Cutter(text)
    lines, at = [], 0
    for whole, line in zip(cutter.plain.splitlines(True), cutter.plain.splitlines(keepends), strict=True):
        lines.append(cutter.cut(at, at + len(line)))
        at += len(whole)
    return lines


def partition(text: str, sep: str) -> tuple[str, ...]:
    cutter = Cutter(text)
    return tuple(cutter.parts(cutter.plain.partition(plain(sep)), 0))


def rpartition(text: str, sep: str) -> tuple[str, ...]:
    cutter = Cutter(text)
    return tuple(cutter.parts(cutter.plain.rpartition(plain(sep)), 0))


def removeprefix(text: str, prefix: str) -> str:
    cutter, prefix = Cutter(text), plain(prefix)
    return cutter.cut(len(prefix) if cutter.plain.startswith(prefix) else 0, len(cutter.plain))


def removesuffix(text: str, suffix: str) -> str:
    cutter, suffix = Cutter(text), plain(suffix)
    size = len(cutter.plain)
    return cutter.cut(0, size - len(suffix) if suffix and cutter.plain.endswith(suffix) else size)


def replace(text: str, old: str, new: str, count: int = -1) -> str:
    old = plain(old)
    if MARK not in text:
        return text.replace(old, new, count)
    if old:
        return new.join(split(text, old, count))
    letters = list(characters(text))
    times = len(letters) + 1 if count < 0 else min(count, len(letters) + 1)
    return "".join(new + letter for letter in [*letters, ""][:times]) + "".join(letters[times:])


_WORDS = re.compile(r"([-\s({\[<]+)")


def title(text: str) -> str:
    """Jinja's `title`: upper case at the beginning of words, lower case within."""
    return recased(text, lambda all_: "".join(word[:1].upper() + word[1:].lower() for word in _WORDS.split(all_)))


def recased(text: str, change: Callable[[str], str]) -> str:
    """The text with upper and lower case changed; where that changes its length, each part between marks by itself."""
    cutter = Cutter(text)
    changed = change(cutter.plain)
    if len(cutter.plain) == len(text):
        return changed
    if len(changed) != len(cutter.plain):
        return MARK.join(change(part) for part in text.split(MARK))
    letters = iter(changed)
    return "".join(letter if letter == MARK else next(letters) for letter in text)
