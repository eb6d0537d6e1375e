from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inference.toy import BYTES_FROM, END, byte_tokenizer
from turnwise.inference.text.detokenizer import Detokenizer, StopScanner

TOKENIZER = byte_tokenizer()


def decode(ids: Sequence[int]) -> str:
    return str(TOKENIZER.decode(list(ids), skip_special_tokens=True))


def tokens(data: bytes) -> list[int]:
    return [byte + BYTES_FROM for byte in data]


def pieces(data: bytes, prompt: bytes = b"p") -> list[str]:
    text = Detokenizer(decode, tokens(prompt))
    return [text.push(token) for token in tokens(data)]


def test_a_character_comes_whole_or_not_at_all() -> None:
    assert pieces("aé€😀b".encode()) == ["a", "", "é", "", "", "€", "", "", "", "😀", "b"]
    assert "".join(pieces("ab😀".encode()[:-1])) == "ab"


def test_special_tokens_have_no_text() -> None:
    text = Detokenizer(decode, tokens(b"x"))
    assert [text.push(token) for token in [*tokens(b"a"), END, *tokens(b"b"), END]] == ["a", "", "b", ""]


def test_bytes_that_are_not_utf8_do_not_stop_the_text() -> None:
    assert "".join(pieces(b"a\xffb\xc3(c\x80d")) == "a\ufffdb\ufffd(c\ufffdd"
    assert "".join(pieces(b"\xff" * 40 + b"end")).endswith("end")


@given(st.lists(st.binary(min_size=1, max_size=4), max_size=12), st.text(max_size=5))
def test_any_bytes_give_text_and_valid_text_gives_itself(parts: list[bytes], good: str) -> None:
    out = "".join(pieces(b"".join(parts)))
    out.encode()
    assert "".join(pieces(good.encode())) == good.rstrip("\ufffd") or "\ufffd" in good


def push_all(stops: list[str], parts: list[str]) -> tuple[str, bool]:
    scanner = StopScanner(stops)
    out = ""
    for part in parts:
        out += scanner.push(part)
        if scanner.stopped:
            return out, True
    return out + scanner.rest(), False


@pytest.mark.parametrize(
    ("stops", "parts", "expected"),
    [
        (["END"], ["some E", "N", "D more"], ("some ", True)),
        (["END"], ["some EN", "S"], ("some ENS", False)),
        (["END"], ["EN"], ("EN", False)),
        (["aab"], ["aa", "ab"], ("a", True)),
        (["\n\n", "."], ["one\n", "\ntwo."], ("one", True)),
        (["b", "abc"], ["a", "b"], ("a", True)),
        ([], ["any", "thing"], ("anything", False)),
        (["x"], ["x"], ("", True)),
    ],
)
def test_stop_strings(stops: list[str], parts: list[str], expected: tuple[str, bool]) -> None:
    assert push_all(stops, parts) == expected


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3), st.text("abc", max_size=20), st.data())
def test_stop_strings_do_not_care_for_token_borders(stops: list[str], text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    parts = [text[low:high] for low, high in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    out, stopped = push_all(stops, parts)
    assert stopped == any(stop in text for stop in stops)
    assert text.startswith(out)
    assert not any(stop in out for stop in stops)
    assert stopped or out == text


def test_text_is_held_back_only_while_it_may_be_a_stop_string() -> None:
    scanner = StopScanner(["END"])
    assert [scanner.push(part) for part in ("a", "E", "N", "X", "b")] == ["a", "", "", "ENX", "b"]
