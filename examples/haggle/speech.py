"""What a sentence means to those who haggle: a price, an agreement, a goodbye."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["offer", "accept", "leave"]

_WORD = "(?:[a-z]+|I|[1-9][0-9]|NAME)"
_SENTENCE = rf" (?:[A-Z][a-z]*|[1-9][0-9])(?:[,:]? {_WORD}){{0,16}}[.!?]"


def form(name: str) -> str:
    """What the model may write to somebody of this name: a regular expression for sentences to the end of the line.

    Words, prices of two digits, and no other name: capitals only begin a sentence.
    """
    return rf"(?:{_SENTENCE}){{1,5}}\n".replace("NAME", name)


SENTENCE_CHARS_MAX = 200

_NUMBER = re.compile(r"\d{1,9}")
_ACCEPTS = re.compile(r"\b(deal|agreed|done)\b", re.IGNORECASE)
_LEAVES = re.compile(r"\b(goodbye|farewell)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Saying:
    """What was meant. `price` is the last number that was said, `echoes` are those before it."""

    kind: Kind
    price: int | None
    echoes: tuple[int, ...] = ()


def read(sentence: str) -> Saying | None:
    """What a sentence means, or None if it means nothing to somebody who haggles."""
    numbers = [int(digits) for digits in _NUMBER.findall(sentence)]
    if _LEAVES.search(sentence):
        return Saying("leave", None, tuple(numbers))
    if not numbers:
        return None
    kind: Kind = "accept" if _ACCEPTS.search(sentence) else "offer"
    return Saying(kind, numbers[-1], tuple(numbers[:-1]))


@dataclass(frozen=True)
class Position:
    """Where somebody stands: the side, the limit, and the prices that were named so far, oldest first."""

    side: Literal["buyer", "seller"]
    limit: int
    mine: tuple[int, ...] = ()
    theirs: tuple[int, ...] = ()

    def better(self, price: int, than: int) -> bool:
        """Whether one price is better for this side than another."""
        return price < than if self.side == "buyer" else price > than

    def suits(self, price: int) -> bool:
        return not self.better(self.limit, than=price)


def objection(sentence: str, position: Position) -> str | None:
    """Why somebody in this position must not say the sentence, or None if it may be said."""
    saying = read(sentence)
    if saying is None or len(sentence) > SENTENCE_CHARS_MAX or not sentence.isprintable():
        return "it makes no sense"
    if any(echo not in position.theirs[-1:] for echo in saying.echoes):
        return "it speaks of a price that was not named"
    if saying.kind == "leave":
        return None if len(position.mine) > 1 else "it is too early to leave"
    assert saying.price is not None
    if not position.suits(saying.price):
        return "it is beyond the limit"
    if saying.kind == "accept":
        return None if saying.price in position.theirs[-1:] else "it agrees to a price that was not offered"
    if position.mine and position.better(saying.price, than=position.mine[-1]):
        return "it takes back an offer"
    if position.theirs and not position.better(saying.price, than=position.theirs[-1]):
        return "it offers more than is asked"
    return None
