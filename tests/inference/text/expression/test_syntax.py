from __future__ import annotations

import pytest

from turnwise.inference.text.expression.program import compile_expression
from turnwise.inference.text.expression.steps import CountedExpression
from turnwise.inference.text.expression.syntax import Char, Choice, Repeat, Uncountable, parse

REFUSED = {
    r"(a)\1": r"uses '\\\\1'",
    r"\k<name>": r"uses '\\\\k'",
    r"(?<a>x)\g<a>": r"uses '\\\\g'",
    "(?(1)a|b)": "uses",
    "(?~ab)": "uses",
    "(?x: a)": "uses",
    r"\Ka": r"uses '\\\\K'",
    r"\R": r"uses '\\\\R'",
    r"\X": r"uses '\\\\X'",
    "(a*)*": "repeats without end what can be empty",
    "(?:a?|b)+": "repeats without end what can be empty",
    "(?:^)*": "repeats without end what can be empty",
    "(?<=a*)b": "no fixed length",
    "(?<=a{17})b": "looks behind by more than 16",
    "a{1001}": "repeats more than 1000 times",
    "a{3,2}": "fewer times than at least",
    "a{2}?": "number of times that is lazy",
    "a{x}": "no interval",
    "(?:a{1000}){1000}": "more than 10000 steps",
    "*a": "repeats nothing",
    "a)": "a parenthesis too many",
    "(a": "not closed",
    "[a": "a class that is not closed",
    "[]a]": "begins with ]",
    "(?i:stra\u00dfe)": "ignores case of other letters",
    "(?i:[^a])": "ignores case of other letters",
    r"(?i:\p{L})": "ignores case of other letters",
    "(?i:fish)": "one character can stand for",
    "(?i)mass": "one character can stand for",
    "(" * 40 + "a" + ")" * 40: "nested too deeply",
    "a" * 20_001: "more than 20000 characters",
    r"\p{NoSuchThing}": "stands for nothing by itself",
}


@pytest.mark.parametrize(("expression", "why"), REFUSED.items())
def test_what_cannot_be_counted_is_refused(expression: str, why: str) -> None:
    with pytest.raises(Uncountable, match=why.replace("\\\\\\\\", "\\\\\\\\")):
        CountedExpression(expression)


def test_an_expression_is_a_choice_of_sequences() -> None:
    assert parse("ab|c+?") == Choice(((Char("a"), Char("b")), (Repeat(Char("c"), 1, None, lazy=True),)))
    assert parse(r"\s{,3}") == Choice(((Repeat(Char(r"\s"), 0, 3),),))
    assert parse("a(?i:B)") == Choice(((Char("a"), Choice(((Char("(?i:B)"),),))),))


def test_equal_classes_are_one() -> None:
    assert compile_expression(r"\s\S\s|[ab][ab]").chars == [r"\s", r"\S", "[ab]"]
