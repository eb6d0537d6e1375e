"""The steps that matching an expression takes on a text, counted by matching it step by step.

Oniguruma gives up after ten million steps of one match, and begins anew at the next character: its own count bounds no
text. Here the steps of all matches in a text are counted, in the order in which they are tried, so that one that would
take too many is refused before the library begins. The characters that a class has are what the library says they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tokenizers import Regex, pre_tokenizers

from turnwise.inference.text.expression.program import MatchProgram, Op, Step, compile_expression
from turnwise.inference.text.expression.syntax import Uncountable

STEPS_MAX: Final = 8_000_000
"""Steps of one text, for all expressions of a tokenizer. They take 1 to 3 s here, and much less in the library."""

REMEMBERED_CHARS_MAX: Final = 65_536


class TooManySteps(Exception):
    """Raised where matching takes more steps than are allowed."""


class StepMeter:
    """Counts down the steps that one text may take: `left` are still allowed."""

    def __init__(self) -> None:
        self.left = STEPS_MAX

    @property
    def is_empty(self) -> bool:
        """True if a text took more."""
        return self.left < 0

    def refill(self) -> None:
        self.left = STEPS_MAX


class CountedExpression:
    """An expression whose steps are counted."""

    def __init__(self, expression: str) -> None:
        """Raises Uncountable."""
        self._program = compile_expression(expression)
        self._classes: dict[str, int] = {}
        try:
            self._splits = [pre_tokenizers.Split(Regex(text), "removed") for text in self._program.chars]
            _bits_of("a", self._splits)
        except Exception as error:  # the library raises bare Exception for everything
            raise Uncountable(f"has a class that stands for nothing by itself: {error}") from None
        self._word = 1 << self._program.chars.index(r"\w") if r"\w" in self._program.chars else 0

    def count(self, text: str, meter: StepMeter) -> None:
        """Take what matching `text` from end to end takes from `meter`. Raises TooManySteps."""
        for _ in self.matches(text, meter):
            pass

    def matches(self, text: str, meter: StepMeter) -> Iterator[tuple[int, int]]:
        """Yield the places of the matches in `text` that are not empty. Raises TooManySteps."""
        size, at = len(text), 0
        machine = _Machine(self._program, text, self._bits(text), self._word, meter)
        while at <= size:
            end = machine.match(self._program.steps, at)
            if end > at:
                yield at, end
            at = end if end > at else at + 1

    def _bits(self, text: str) -> list[int]:
        """Return the classes of each character, as bits."""
        new = "".join(sorted(set(text) - self._classes.keys()))
        if new:
            if len(self._classes) + len(new) > REMEMBERED_CHARS_MAX:
                self._classes.clear()
                new = "".join(sorted(set(text)))
            self._classes.update(zip(new, _bits_of(new, self._splits), strict=True))
        known = self._classes
        return [known[char] for char in text]


def _bits_of(chars: str, splits: list[pre_tokenizers.Split]) -> list[int]:
    bits = [0] * len(chars)
    for number, split in enumerate(splits):
        inside = [True] * len(chars)
        for _, (start, end) in split.pre_tokenize_str(chars):  # what is not in the class
            inside[start:end] = [False] * (end - start)
        for index, is_in in enumerate(inside):
            bits[index] |= is_in << number
    return bits


class _Machine:
    """Matches a program at places of one text."""

    def __init__(self, program: MatchProgram, text: str, bits: list[int], word: int, meter: StepMeter) -> None:
        self._program = program
        self._text = text
        self._bits = bits
        self._word = word
        self._meter = meter

    def match(self, steps: list[Step], at: int) -> int:
        """Return where the match that begins at `at` ends, or -1. Raises TooManySteps."""
        bits, size, meter = self._bits, len(self._bits), self._meter
        back: list[tuple[int, int]] = []
        step, left = 0, meter.left
        while True:
            left -= 1
            if left < 0:
                meter.left = left
                raise TooManySteps
            op, first, second = steps[step]
            if op == Op.CHAR:
                if at < size and bits[at] & first:
                    at += 1
                    step += 1
                    continue
            elif op == Op.SPLIT:
                back.append((second, at))
                step = first
                continue
            elif op == Op.JUMP:
                step = first
                continue
            elif op == Op.MATCH:
                meter.left = left
                return at
            else:
                meter.left = left
                went = self._other(op, first, second, at)
                left = meter.left
                if went >= 0:
                    at = went
                    step += 1
                    continue
            if not back:
                meter.left = left
                return -1
            step, at = back.pop()

    def _other(self, op: Op, first: int, second: int, at: int) -> int:
        """Do a step that takes more than a look; returns where it goes on, or -1 if it fails."""
        if op == Op.PLACE:
            return at if self._is_at(self._program.anchors[first], at) else -1
        steps, lengths = self._program.inner[first]
        if op == Op.ATOMIC:
            return self.match(steps, at)
        if op == Op.LOOK:
            found = self.match(steps, at) >= 0
        else:
            found = any(at >= length and self.match(steps, at - length) == at for length in lengths)
        return at if found != bool(second) else -1

    def _is_at(self, anchor: str, at: int) -> bool:
        text, size = self._text, len(self._bits)
        if anchor in "bB":
            before = at > 0 and bool(self._bits[at - 1] & self._word)
            after = at < size and bool(self._bits[at] & self._word)
            return (before != after) == (anchor == "b")
        if anchor == "A":
            return at == 0
        if anchor == "^":
            return at == 0 or (at < size and text[at - 1] == "\n")
        if anchor == "z":
            return at == size
        return at == size or (text[at] == "\n" and (anchor == "$" or at == size - 1))
