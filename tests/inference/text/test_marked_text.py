"""Operations see the plain text, and every character keeps the mark behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.inference.text import marked_text
from turnwise.inference.text.special_tokens import MARK

TEXT = st.lists(st.tuples(st.sampled_from("aAbB ,\n\u2028<|é🙂"), st.sampled_from(["", "", MARK])), max_size=12).map(
    lambda letters: "".join(letter + mark for letter, mark in letters)
)
PIECE = st.text("aAb ,<|", min_size=1, max_size=2)
SMALL = st.one_of(st.none(), st.integers(-5, 5))


def marks_of(text: str) -> list[tuple[str, bool]]:
    """Each character, and whether a mark is behind it."""
    return [(letter, text[at + 1 : at + 2] == MARK) for at, letter in enumerate(text) if letter != MARK]


def pieces(result: Any) -> Iterable[str]:
    return result if isinstance(result, list | tuple) else [result]


@given(TEXT, PIECE, st.integers(-1, 3), st.data())
def test_parts_are_those_of_the_plain_text_and_keep_their_marks(
    text: str, piece: str, count: int, data: st.DataObject
) -> None:
    operations: list[tuple[Callable[..., Any], str, tuple[Any, ...]]] = [
        (marked_text.strip, "strip", ()),
        (marked_text.lstrip, "lstrip", (piece,)),
        (marked_text.rstrip, "rstrip", (piece,)),
        (marked_text.split, "split", (piece, count)),
        (marked_text.split, "split", (None, count)),
        (marked_text.rsplit, "rsplit", (piece, count)),
        (marked_text.rsplit, "rsplit", (None, count)),
        (marked_text.splitlines, "splitlines", ()),
        (marked_text.splitlines, "splitlines", (True,)),
        (marked_text.partition, "partition", (piece,)),
        (marked_text.rpartition, "rpartition", (piece,)),
        (marked_text.removeprefix, "removeprefix", (piece,)),
        (marked_text.removesuffix, "removesuffix", (piece,)),
    ]
    operation, name, arguments = data.draw(st.sampled_from(operations))
    plain = marked_text.plain(text)
    found, expected = operation(text, *arguments), getattr(plain, name)(*arguments)
    assert type(found) is type(expected)
    assert [marked_text.plain(part) for part in pieces(found)] == list(pieces(expected))
    whole = marks_of(text)
    at = 0
    for part in pieces(found):
        marked = marks_of(part)
        at = next(start for start in range(at, len(whole) + 1) if whole[start : start + len(marked)] == marked)
        at += len(marked)


@given(TEXT, SMALL, SMALL, SMALL.filter(lambda step: step != 0))
def test_slices(text: str, start: int | None, stop: int | None, step: int | None) -> None:
    assert marks_of(marked_text.sliced(text, start, stop, step)) == marks_of(text)[start:stop:step]


@given(TEXT)
def test_characters_and_items(text: str) -> None:
    whole = marks_of(text)
    assert [marks_of(letter) for letter in marked_text.characters(text)] == [[pair] for pair in whole]
    for place in range(-len(whole), len(whole)):
        assert marks_of(marked_text.item(text, place)) == [whole[place]]
    with pytest.raises(IndexError):
        marked_text.item(text, len(whole))


@given(TEXT, st.text("aAb ,<|", max_size=2), TEXT, st.integers(-1, 3))
def test_replacing(text: str, old: str, new: str, count: int) -> None:
    found = marked_text.replace(text, old, new, count)
    assert marked_text.plain(found) == marked_text.plain(text).replace(old, marked_text.plain(new), count)
    assert found.count(MARK) <= text.count(MARK) + new.count(MARK) * (len(text) + 1)


@given(TEXT)
def test_cases(text: str) -> None:
    for change in (str.upper, str.lower, str.capitalize, str.swapcase):
        found = marked_text.recased(text, change)
        assert marked_text.plain(found) == change(marked_text.plain(text))
        assert [mark for _, mark in marks_of(found)] == [mark for _, mark in marks_of(text)]
    assert marks_of(marked_text.recased(f"ß{MARK}x", str.upper)) == [("S", False), ("S", True), ("X", False)]
