"""How people haggle: what is done next, decided from what the speaker can know.

A speaker knows the own limit and mood, and what has been said. The decision to accept, to make a last offer or to leave
is a fixed rule of those, so that it can be learned exactly; how far to come towards the other is partly chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final, Literal

Side = Literal["buyer", "seller"]
Kind = Literal["offer", "final", "accept", "leave"]
Tone = Literal["plain", "soft", "firm"]

PRICE_MIN: Final = 10
PRICE_MAX: Final = 99
"""Prices have two digits."""

NEAR: Final = 4
"""Offers that are no further apart than this are as good as agreed."""
OFFERS_MAX: Final = 4
"""After so many offers of their own, people accept what they can, or say their last word."""

_CONCEDES: Final = {"friendly": 0.42, "gruff": 0.32, "hurried": 0.55, "shy": 0.45, "stubborn": 0.24}
"""The share of the way to the other's offer that a step goes, on average."""
_HEARD: Final[dict[Tone, float]] = {"plain": 1.0, "soft": 0.7, "firm": 1.35}
"""Who hears that the other gives way goes slowly; who hears that the other will not, goes further."""
_SOFT: Final = {"friendly": 0.35, "gruff": 0.1, "hurried": 0.2, "shy": 0.5, "stubborn": 0.0}
_FIRM: Final = {"friendly": 0.1, "gruff": 0.35, "hurried": 0.2, "shy": 0.05, "stubborn": 0.6}


@dataclass(frozen=True, slots=True)
class Move:
    """What somebody does. `price` is None for those who leave."""

    kind: Kind
    price: int | None
    tone: Tone = "plain"


@dataclass(slots=True)
class Haggler:
    """One side of a conversation."""

    side: Side
    limit: int
    mood: str
    offers: int = 0
    last: int | None = None
    said_final: bool = False

    def suits(self, price: int) -> bool:
        """Whether the limit allows it."""
        return price <= self.limit if self.side == "buyer" else price >= self.limit

    def move(self, heard: Move | None, chance: Random) -> Move:
        """The next move, after the other's (None: this is the first word of all)."""
        move = self._decide(heard, chance)
        if move.kind in ("offer", "final"):
            self.offers += 1
            self.last = move.price
            self.said_final = move.kind == "final"
        return move

    def _decide(self, heard: Move | None, chance: Random) -> Move:
        if heard is None or heard.price is None:
            return self._offer(self._first(None, chance), chance)
        price = heard.price
        if self.last is None:
            if heard.kind == "final" and self.suits(price):
                return Move("accept", price)
            return self._offer(self._first(price, chance), chance)
        if self.suits(price) and (
            abs(price - self.last) <= NEAR or self.offers >= OFFERS_MAX or heard.kind == "final" or self.said_final
        ):
            return Move("accept", price)
        if self.said_final or (heard.kind == "final" and self.last == self.limit):
            return Move("leave", None)
        step = self._step(price, heard.tone, chance)
        if self.suits(price) and abs(price - step) <= 1:
            return Move("accept", price)
        if self.offers >= OFFERS_MAX or heard.kind == "final" or abs(self.limit - step) <= 1:
            return Move("final", self.limit)
        return self._offer(step, chance)

    def _first(self, price: int | None, chance: Random) -> int:
        """The first offer: of a seller well above the limit, of a buyer well below limit and asking price."""
        hard = self.mood in ("gruff", "stubborn")
        if self.side == "seller":
            asked = round(self.limit * chance.uniform(1.5, 1.8) if hard else self.limit * chance.uniform(1.35, 1.65))
            return min(max(asked, self.limit + 4), PRICE_MAX)
        most = self.limit if price is None else min(self.limit, price)
        bid = round(most * (chance.uniform(0.58, 0.72) if hard else chance.uniform(0.68, 0.84)))
        return max(min(bid, most - 3), PRICE_MIN)

    def _step(self, price: int, heard: Tone, chance: Random) -> int:
        """The own last offer, and a part of the way to the other's, as far as the limit allows."""
        assert self.last is not None
        towards = min(self.limit, price) if self.side == "buyer" else max(self.limit, price)
        share = _CONCEDES[self.mood] * _HEARD[heard] * chance.uniform(0.8, 1.2)
        way = towards - self.last
        step = max(1, round(abs(way) * min(share, 0.9))) if way else 0
        return self.last + (step if way > 0 else -step)

    def _offer(self, price: int, chance: Random) -> Move:
        drawn = chance.random()
        tone: Tone = "plain"
        if drawn < _SOFT[self.mood]:
            tone = "soft"
        elif drawn < _SOFT[self.mood] + _FIRM[self.mood]:
            tone = "firm"
        return Move("offer", price, tone)
