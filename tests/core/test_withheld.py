from __future__ import annotations

import json
from hashlib import sha256

import pytest

from turnwise.core.withheld import Withheld, WithheldTokens, as_member, from_member


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def test_a_withheld_text_is_equal_to_the_text_that_it_was() -> None:
    text = Withheld(digest("secret"))
    assert text == "secret"
    assert "secret" == text  # noqa: SIM300 - the other way round, too
    assert text == Withheld(digest("secret"))
    assert text != "other"
    assert "other" != text  # noqa: SIM300
    assert text != Withheld(digest("other"))
    assert text != 1
    assert ("a", [text]) == ("a", ["secret"])


def test_it_is_not_equal_to_the_text_that_it_reads_as() -> None:
    text = Withheld(digest("secret"))
    assert text != json.dumps({"redacted": digest("secret")}, separators=(",", ":"))


def test_it_reads_as_json() -> None:
    assert json.loads(Withheld(digest("x"))) == {"redacted": digest("x")}


def test_as_a_member_it_is_an_object_and_comes_back() -> None:
    text = Withheld(digest("x"))
    assert as_member(text) == {"redacted": digest("x")}
    assert as_member("x") == "x"
    back = from_member(as_member(text))
    assert type(back) is Withheld
    assert back.digest == text.digest
    assert from_member("x") == "x"


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        {},
        {"redacted": "x"},
        {"redacted": 1},
        {"redacted": digest("x").upper()},
        {"redacted": digest("x"), "a": 1},
    ],
)
def test_what_stands_for_no_text_is_none(value: object) -> None:
    assert from_member(value) is None


def test_what_was_taken_out_is_shown_by_its_digest() -> None:
    digest = "ab" * 32
    assert repr(Withheld(digest)) == f"Withheld({digest!r})"
    assert repr(WithheldTokens(digest)) == f"WithheldTokens({digest!r})"
