from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from turnwise.inference.text.expression.known import KNOWN
from turnwise.inference.text.expression.steps import STEPS_MAX, CountedExpression, StepMeter, TooManySteps

MEASURED_CHARS = 3_000
STEPS_PER_CHAR_MAX = 40
EXTRA_STEPS = 100

HOSTILE = {
    "blanks": " ",
    "lines": " \n",
    "blanks and a line at the end": " \t\u00a0",
    "small letters": "a",
    "large letters": "A",
    "letters of neither case": "\u5b57",
    "marks": "\u0301",
    "both": "aB",
    "titles and marks": "\u01c5\u0301",
    "digits": "1",
    "signs": "!",
    "quotes": "'",
    "endings": "'S'll",
    "words": "the cat's hat, ",
    "blanks between": "   x",
}
SUPERLINEAR = [r"\s*[\r\n]+|\s", r"(a+)+b|.", r"(?:a|a)*!", r"(?=a*b)a|a", r"(?>a*)(?:b|c)|a", r"a*(?<=b)|a", r"a*?b|a"]

ATOMS = [
    "a", "b", "B", r"\n", ".", "[ab]", "[^a]", "[a[bc]]", r"\s", r"\S", r"\p{L}", r"\P{L}", r"[^\s\p{L}]", r"\w", r"\d",
    r"\x62", r"\.", "(?i:b)", "(?i:'s)", " ", "\u00e9",
]  # fmt: skip
PLACES = ["^", "$", r"\A", r"\z", r"\Z", r"\b", r"\B", "(?=b)", "(?!a)", "(?<=a)", "(?<!b|ab)", r"(?!\S)"]
TIMES = ["", "", "*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{1,2}", "{0,2}?", "{,2}", "{2,}"]
TEXTS = st.text("aabbBc \n.é1'sS", max_size=30)


def sequences(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    item = st.tuples(parts, st.sampled_from(TIMES)).map("".join)
    return st.lists(st.one_of(item, item, st.sampled_from(PLACES)), min_size=1, max_size=3).map("".join)


def groups(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    choice = st.lists(sequences(parts), min_size=1, max_size=3).map("|".join)
    return st.tuples(st.sampled_from(["(", "(?:", "(?>", "(?<name>", "(?:(?i)"]), choice).map(
        lambda pair: f"{pair[0]}{pair[1]})"
    )


EXPRESSIONS = st.lists(
    sequences(st.one_of(st.sampled_from(ATOMS), groups(st.sampled_from(ATOMS)))), min_size=1, max_size=3
)


def library_matches(expression: str, text: str) -> list[tuple[int, int]]:
    """Places of the matches that are not empty, as the library's own splitting shows them."""
    kept = pre_tokenizers.Split(Regex(expression), "isolated").pre_tokenize_str(text)
    dropped = pre_tokenizers.Split(Regex(expression), "removed").pre_tokenize_str(text)
    between = {place for _, place in dropped}
    return [place for _, place in kept if place not in between]


def steps(expression: str, text: str, steps_max: int = STEPS_MAX) -> int:
    meter = StepMeter()
    meter.left = steps_max
    CountedExpression(expression).count(text, meter)
    return steps_max - meter.left


@settings(deadline=None, max_examples=400)
@given(EXPRESSIONS.map("|".join), TEXTS)
def test_matches_are_those_of_the_library(expression: str, text: str) -> None:
    """What is counted is what the library does: the same matches in the same order of trying."""
    try:
        Regex(expression)
        counted = CountedExpression(expression)
    except Exception:  # the library raises bare Exception for what it does not take
        return
    covered = {at for start, end in library_matches(expression, text) for at in range(start, end)}
    assert {at for start, end in counted.matches(text, StepMeter()) for at in range(start, end)} == covered


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("expression", sorted(KNOWN))
def test_steps_of_known_expressions_grow_with_the_text(expression: str, text: str) -> None:
    for end in ("", "x", "\n", "!"):
        whole = text * (MEASURED_CHARS // len(text)) + end
        assert steps(expression, whole) <= STEPS_PER_CHAR_MAX * len(whole) + EXTRA_STEPS


@pytest.mark.parametrize("expression", SUPERLINEAR)
def test_steps_of_others_do_not(expression: str) -> None:
    """The control for the test above."""
    text = ("a" if "a" in expression else " ") * MEASURED_CHARS
    with pytest.raises(TooManySteps):
        steps(expression, text, STEPS_PER_CHAR_MAX * len(text) + EXTRA_STEPS)


def test_the_meter_holds_for_all_that_is_counted_together() -> None:
    expression, meter = CountedExpression("b"), StepMeter()
    meter.left = 100
    expression.count("a" * 60, meter)
    assert meter.left == 100 - 61  # one for each character, and one at the end
    with pytest.raises(TooManySteps):
        expression.count("a" * 60, meter)
    assert meter.is_empty
    meter.refill()
    assert meter.left == STEPS_MAX
    assert not meter.is_empty


def test_steps_are_the_same_whatever_was_counted_before() -> None:
    expression = CountedExpression(r"\p{L}+|\s")
    meters = [StepMeter() for _ in range(3)]
    for meter, text in zip(meters, ("a b\u5b57", "\u0416 \n1", "a b\u5b57"), strict=True):
        expression.count(text, meter)
    assert meters[0].left == meters[2].left


def test_more_characters_than_are_remembered_are_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwise.inference.text.expression.steps.REMEMBERED_CHARS_MAX", 3)
    expression = CountedExpression("[abc]+")
    for text in ("ab", "bcx", "abcxyz"):
        assert list(expression.matches(text, StepMeter())) == library_matches("[abc]+", text)
