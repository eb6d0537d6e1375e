"""Counters in a tokenizer: each stands before a step whose expression is not that of a public model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import tokenizers
from tokenizers import normalizers, pre_tokenizers

from turnwise.inference.text.expression.known import unknown_expression
from turnwise.inference.text.expression.steps import CountedExpression, StepMeter, TooManySteps

_LISTS: Final = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers"}


def count_steps(inner: tokenizers.Tokenizer, content: dict[str, Any]) -> StepMeter:
    """Put a counter before each expression of a tokenizer that is not known; returns their meter.

    `content` is what the tokenizer's file says. The tokenizer cannot be written as a file any more then. Raises
    Uncountable.
    """
    meter = StepMeter()
    found = list(_steps(content.get("normalizer"), inner.normalizer, "normalizer"))
    if any(unknown_expression(step) is not None for step, _ in found):
        inner.normalizer = normalizers.Sequence(list(_with_counters(found, _before_normalizer, meter)))
    found = list(_steps(content.get("pre_tokenizer"), inner.pre_tokenizer, "pre_tokenizer"))
    if any(unknown_expression(step) is not None for step, _ in found):
        inner.pre_tokenizer = pre_tokenizers.Sequence(list(_with_counters(found, _before_pre_tokenizer, meter)))
    return meter


Steps = list[tuple[dict[str, Any], Any]]
Counter = Callable[[CountedExpression, StepMeter], Any]


def _with_counters(
    steps: Steps, counter: Callable[[CountedExpression, StepMeter], Any], meter: StepMeter
) -> Iterator[Any]:
    for step, item in steps:
        if (expression := unknown_expression(step)) is not None:
            yield counter(CountedExpression(expression), meter)
        yield item


def _before_normalizer(expression: CountedExpression, meter: StepMeter) -> Any:
    return normalizers.Normalizer.custom(_Normalizer(expression, meter))


def _before_pre_tokenizer(expression: CountedExpression, meter: StepMeter) -> Any:
    return pre_tokenizers.PreTokenizer.custom(_PreTokenizer(expression, meter))


class _Normalizer:
    """Counts what the step after it takes. The library calls it with each text between two added tokens."""

    def __init__(self, expression: CountedExpression, meter: StepMeter) -> None:
        self._expression = expression
        self._meter = meter

    def normalize(self, text: Any) -> None:
        try:
            self._expression.count(text.normalized, self._meter)
        except TooManySteps:
            text.clear()  # the library goes on after an error here; the meter says that there was one


class _PreTokenizer:
    """Counts what the step after it takes, on the pieces that it is given."""

    def __init__(self, expression: CountedExpression, meter: StepMeter) -> None:
        self._expression = expression
        self._meter = meter

    def pre_tokenize(self, text: Any) -> None:
        for piece, *_ in text.get_splits():
            self._expression.count(piece, self._meter)


def _steps(table: Any, item: Any, part: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield the steps of a part as the file has them, each with the library's object."""
    if not isinstance(table, dict):
        return
    inner = table.get(_LISTS[part])
    if not isinstance(inner, list):
        yield table, item
        return
    for index, step in enumerate(inner):
        yield from _steps(step, item[index], part)
