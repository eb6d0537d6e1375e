"""Whole conversations, as each of the two sees them: a header that only one knows, and the lines of both.

The header and the lines are the prompt that agents of the haggling world give to the model, letter for letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from training.demo.policy import PRICE_MAX, PRICE_MIN, Haggler, Move, Side
from training.demo.sentences import Speaker
from training.demo.words import GOODS, MOODS, NAMES, Good

TRAINING_FIRST: Final = 0
"""Seed of the first conversation for training; they are numbered from here."""
HELD_OUT_FIRST: Final = 1_000_000_000
"""Seed of the first conversation that is never trained on."""


@dataclass(frozen=True, slots=True)
class Person:
    """One of the two. `limit`: the most that a buyer pays, the least that a seller takes."""

    name: str
    side: Side
    mood: str
    limit: int


@dataclass(frozen=True, slots=True)
class Line:
    """What somebody said, and the move that it puts into words."""

    speaker: str
    text: str
    move: Move


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation from the seller's first word to a deal, or to the word with which somebody leaves."""

    seller: Person
    buyer: Person
    good: Good
    lines: tuple[Line, ...]

    def header(self, person: Person) -> str:
        """What `person` knows before a word is said."""
        return header(person, self.buyer if person is self.seller else self.seller, self.good.name)


def header(person: Person, other: Person, good: str) -> str:
    """The first line of a prompt."""
    if person.side == "seller":
        wish = f"You sell your {good} to {other.name}. You need at least {person.limit}."
    else:
        wish = f"You want the {good} of {other.name}. You can pay at most {person.limit}."
    return f"You are {person.name}, a {person.mood} {person.side}. {wish}\n"


def dialogue(seed: int) -> Dialogue:
    """Conversation number `seed`: the same for the same number, whatever else is made."""
    chance = Random(f"haggle {seed}")
    good = chance.choice(GOODS)
    name_seller, name_buyer = chance.sample(NAMES, 2)
    least = chance.randint(14, 66)
    most = least + (chance.randint(0, 30) if chance.random() < 0.75 else -chance.randint(1, 18))
    most = min(max(most, PRICE_MIN + 4), PRICE_MAX - 4)
    seller = Person(name_seller, "seller", chance.choice(MOODS), least)
    buyer = Person(name_buyer, "buyer", chance.choice(MOODS), most)
    return Dialogue(seller, buyer, good, tuple(_lines(seller, buyer, good, chance)))


def _lines(seller: Person, buyer: Person, good: Good, chance: Random) -> Iterator[Line]:
    hagglers = [Haggler(person.side, person.limit, person.mood) for person in (seller, buyer)]
    speakers = [
        Speaker("seller", seller.mood, buyer.name, good, chance),
        Speaker("buyer", buyer.mood, seller.name, good, chance),
    ]
    names = (seller.name, buyer.name)
    heard: Move | None = None
    turn = 0
    while heard is None or heard.kind in ("offer", "final"):
        move = hagglers[turn].move(heard, chance)
        yield Line(names[turn], speakers[turn].say(move, heard.price if heard else None), move)
        heard = move
        turn = 1 - turn
