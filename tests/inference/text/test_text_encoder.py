from __future__ import annotations

import json
from typing import Any

import pytest
import tokenizers
from tokenizers import AddedToken, Regex, normalizers, pre_tokenizers

from tests.inference import toy
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.text import text_encoder
from turnwise.inference.text.expression import steps
from turnwise.inference.text.expression.steps import STEPS_MAX
from turnwise.inference.text.text_encoder import TextEncoder
from turnwise.inference.text.tokenizer import Tokenizer
from turnwise.inference.text.tokenizer_bounds import text_bounds

QUADRATIC = r"\s*[\r\n]+|\s"
EXPONENTIAL = "(a+)+b"
TOO_MANY = "the expressions of the model's tokenizer take more than {:,} steps on this text: shorten it"
FEW_STEPS = 80_000


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text has `FEW_STEPS`, and not `STEPS_MAX`, which take seconds to count."""
    monkeypatch.setattr(steps, "STEPS_MAX", FEW_STEPS)
    monkeypatch.setattr(text_encoder, "STEPS_MAX", FEW_STEPS)


def library(expression: str, part: str = "pre_tokenizer") -> tokenizers.Tokenizer:
    """A tokenizer whose texts are matched with an expression first."""
    inner = toy.byte_tokenizer()
    if part == "normalizer":
        inner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(expression), "c")])
    else:
        split = pre_tokenizers.Split(Regex(expression), "isolated")
        inner.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Sequence([split]), inner.pre_tokenizer])
    return inner


def encoder(inner: tokenizers.Tokenizer) -> TextEncoder:
    return TextEncoder(inner, text_bounds(json.loads(inner.to_str())))


@pytest.mark.parametrize("part", ["normalizer", "pre_tokenizer"])
@pytest.mark.parametrize(("expression", "text"), [(QUADRATIC, " " * 600), (EXPONENTIAL, "a" * 40)])
@pytest.mark.usefixtures("few_steps")
def test_an_expression_that_takes_too_many_steps_is_an_answer(part: str, expression: str, text: str) -> None:
    inner = library(expression, part)
    counting = encoder(inner)
    with pytest.raises(Refusal) as caught:
        counting.encode(text)
    assert (caught.value.kind, caught.value.message) == ("refused", TOO_MANY.format(FEW_STEPS))
    assert not counting.admits(text)
    short = text[:10]
    assert counting.encode(short).ids == inner.encode(short, add_special_tokens=False).ids
    assert counting.admits(short)


def test_a_text_has_eight_million_steps() -> None:
    text = " " * 2_100
    assert STEPS_MAX == 8_000_000 < 2 * len(text) ** 2
    with pytest.raises(Refusal) as caught:
        encoder(library(QUADRATIC)).encode(text)
    assert caught.value.message == TOO_MANY.format(STEPS_MAX)


@pytest.mark.usefixtures("few_steps")
def test_what_the_library_begins_with_is_bounded_too() -> None:
    """The refusal comes before the library matches: this text would take it for ever."""
    with pytest.raises(Refusal, match="80,000 steps"):
        encoder(library(QUADRATIC)).encode(" " * 400_000)


@pytest.mark.usefixtures("few_steps")
def test_pieces_between_added_tokens_are_counted_as_the_library_matches_them() -> None:
    """A line at the very end would make all blanks one match; an added token before it hides it from them."""
    inner = library(QUADRATIC)
    inner.add_tokens([AddedToken("<cut>")])
    counting = encoder(inner)
    blanks = " " * 600
    assert counting.admits(blanks + "\n")
    assert not counting.admits(blanks + "<cut>\n")


@pytest.mark.usefixtures("few_steps")
def test_each_text_has_all_steps() -> None:
    counting = encoder(library(QUADRATIC))
    text = " " * 150
    assert all(counting.admits(text) for _ in range(3))
    assert 3 * 2 * len(text) ** 2 > FEW_STEPS


@pytest.mark.usefixtures("few_steps")
def test_known_expressions_are_not_counted() -> None:
    known = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    text = " " * (2 * FEW_STEPS)
    assert len(encoder(library(known)).encode(text).ids) == len(text)


def test_a_failure_of_the_library_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        """What the library raises where it panics."""

    class Failing:
        encode_special_tokens = False

        def __init__(self, error: BaseException) -> None:
            self._error = error

        def no_truncation(self) -> None:
            """Nothing is cut."""

        def encode(self, text: str, **_: Any) -> None:
            raise self._error

    counting = encoder(toy.byte_tokenizer())
    for error in (PanicException("Onig: Regex search error"), Exception("any")):
        monkeypatch.setattr(counting, "_inner", Failing(error))
        with pytest.raises(Refusal) as caught:
            counting.encode("a")
        assert caught.value.message == "the model's tokenizer fails on this text"
    monkeypatch.setattr(counting, "_inner", Failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        counting.encode("a")


def test_progress_is_told_before_each_text() -> None:
    tokenizer = Tokenizer(toy.byte_tokenizer(), None)
    told: list[int] = []
    tokenizer.watch(lambda: told.append(1))
    tokenizer.encode("a")
    tokenizer.encode_rendered("a")
    assert len(told) == 2


@pytest.mark.usefixtures("few_steps")
def test_a_grammar_forces_no_text_that_may_not_be_encoded() -> None:
    tokenizer = Tokenizer(library(QUADRATIC), None)
    vocabulary = tokenizer.vocabulary(frozenset({toy.BOS}))
    assert vocabulary.canonical_tokens(b" " * 20, None, whole=True)
    assert vocabulary.canonical_tokens(b" " * 600, None, whole=True) == []
