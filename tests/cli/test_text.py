"""What is shown cannot act on a terminal."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.cli.text import count, json_text, last_line, shorten
from turnwise.visible_text import visible

JOINERS = {"\u200c", "\u200d"}


def acts(character: str) -> bool:
    """Whether Unicode itself says that a character controls something instead of being seen."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in JOINERS


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ümläut, 日本語, 🎲", "plain, ümläut, 日本語, 🎲"),
        ("\x1b[2J\x1b]0;title\x07", "\\e[2J\\e]0;title\\a"),
        ("beep\a", "beep\\a"),
        ("safe\rEVIL", "safe\\rEVIL"),
        ("secret\b\b\b\b\b\b", "secret\\b\\b\\b\\b\\b\\b"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("\u2066isolate\u2069", "\\u2066isolate\\u2069"),
        ("\u200fmark\u061c", "\\u200fmark\\u061c"),
        ("\x9b31mC1 in eight bits\x90", "\\x9b31mC1 in eight bits\\x90"),
        ("\x7fdelete", "\\x7fdelete"),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        ("nul\0", "nul\\0"),
        ("tags\U000e0041", "tags\\U000e0041"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("family 👨\u200d👩\u200d👧", "family 👨\u200d👩\u200d👧"),
        ("two\nlines\tand a tab", "two\\nlines\\tand a tab"),
    ],
)
def test_what_acts_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lines_and_tabs_can_stay() -> None:
    assert visible("a\n\tb\r\n\x1b[1mc", lines=True) == "a\n\tb\\r\n\\e[1mc"


def test_every_character_that_acts_is_covered() -> None:
    left = [
        f"U+{code:04X}" for code in range(sys.maxunicode + 1) if acts(chr(code)) and visible(chr(code)) == chr(code)
    ]
    assert left == []


def test_nothing_that_is_seen_is_changed() -> None:
    changed = [
        f"U+{code:04X}"
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code))[0] in "LMNPS" and visible(chr(code)) != chr(code)
    ]
    assert changed == []


@given(st.text(st.characters(codec=None)))
def test_any_text_can_be_written_and_is_shown_once(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert not any(acts(character) for character in shown)
    assert visible(shown) == shown
    assert visible(text, lines=True).count("\n") == text.count("\n")


def test_shortened_text_says_how_long_it_was() -> None:
    assert shorten("x" * 200) == "x" * 200
    assert shorten("x" * 1500, 3) == "xxx… (1,500 characters)"


def test_the_last_line_of_a_traceback() -> None:
    assert last_line("Traceback:\n  File x\nValueError: no\n\n") == "ValueError: no"
    assert last_line("") == ""


def test_counts() -> None:
    assert [count(0, "turn"), count(1, "turn"), count(12000, "turn")] == ["0 turns", "1 turn", "12,000 turns"]
    assert count(2, "reply", "replies") == "2 replies"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_json_is_ascii_without_controls_and_the_same_value(value: object) -> None:
    text = json_text(value)
    assert all(" " <= character <= "~" for character in text)
    assert json.loads(text) == value
