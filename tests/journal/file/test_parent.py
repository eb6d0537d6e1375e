"""What a fork says of its parent is read back exactly, or not at all."""

from __future__ import annotations

import json

import pytest

from turnwise.journal.file.parent import Parent

PARENT = Parent("../a.journal", bytes(range(32)), 3, 4, 5, 6, 2)


def text(**members: object) -> str:
    return json.dumps(json.loads(PARENT.to_json()) | members)


def test_it_is_read_back_as_it_was_written() -> None:
    assert Parent.from_json(PARENT.to_json()) == PARENT
    smallest = Parent("a", b"\0" * 32, 0, 0, 0, 0, 0)
    assert Parent.from_json(smallest.to_json()) == smallest
    largest = Parent("a", b"\xff" * 32, *[2**62 - 1] * 5)
    assert Parent.from_json(largest.to_json()) == largest


@pytest.mark.parametrize("name", ["round", "agents", "messages", "blobs", "writers"])
@pytest.mark.parametrize("value", [-1, 2**62, True, 1.0, "1", None])
def test_numbers_are_numbers_within_bounds(name: str, value: object) -> None:
    with pytest.raises(ValueError, match="a number is none"):
        Parent.from_json(text(**{name: value}))


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ("", "Expecting value"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "its members are others"),
        ("null", "its members are others"),
        ('{"path":"a"}', "its members are others"),
        (text(more=1), "its members are others"),
        (text(path=1), "path or head is no text"),
        (text(head=1), "path or head is no text"),
        (text(head="x" * 64), "non-hexadecimal"),
        (text(head="00" * 31), "the head is no SHA-256"),
        (text(head="00" * 33), "the head is no SHA-256"),
    ],
)
def test_another_text_is_refused(stored: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Parent.from_json(stored)
