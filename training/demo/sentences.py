"""Moves put into English.

The words carry the move: who says "deal" accepts, who says "goodbye" leaves, who says "my last word" means it, and the
last number of a sentence is the price. A number before it is the price that the other has named. What is soft says
that there is more to be had, what is firm that there is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from training.demo import phrases
from training.demo.policy import Move, Side
from training.demo.words import Good, a


class Speaker:
    """Says the moves of one side."""

    def __init__(self, side: Side, mood: str, other: str, good: Good, chance: Random) -> None:
        self._seller = side == "seller"
        self._mood = mood
        self._other = other
        self._good = good
        self._chance = chance
        self._reasons = list(good.praises if self._seller else good.faults)
        chance.shuffle(self._reasons)
        self._spoken = 0

    def say(self, move: Move, heard: int | None) -> str:
        """One line for a move; `heard` is the price that the other has just named."""
        parts = self._parts(move, heard)
        self._spoken += 1
        named = {"o": self._other, "g": self._good.name, "a": a(self._good.name), "p": move.price, "t": heard}
        return _joined([part.format_map(named) for part in parts])

    def _parts(self, move: Move, heard: int | None) -> list[str]:
        if move.kind == "accept":
            return self._accept()
        if move.kind == "leave":
            return [*self._maybe(0.4, phrases.INTERJECTIONS[self._mood]), self._leave()]
        parts = self._before(heard)
        if move.kind == "final":
            return [*parts, self._one(phrases.FINAL_ASKS if self._seller else phrases.FINAL_BIDS)]
        offer = self._offer()
        if move.tone == "plain":
            return [*parts, offer]
        soft = phrases.SOFT_ASKS if self._seller else phrases.SOFT_BIDS
        firm = phrases.FIRM_ASKS if self._seller else phrases.FIRM_BIDS
        tone = self._one(soft if move.tone == "soft" else firm)
        return [*parts, tone, offer] if self._chance.random() < 0.4 else [*parts, offer, tone]

    def _before(self, heard: int | None) -> list[str]:
        """What is said before the offer: a greeting, a word, what is wrong with the other's price, a reason."""
        parts = []
        if self._spoken == 0:
            parts += self._maybe(0.8, phrases.GREETINGS[self._mood])
        else:
            parts += self._maybe(0.45, phrases.INTERJECTIONS[self._mood])
        drawn = self._chance.random()
        if heard is not None and drawn < 0.35:
            parts.append(self._one(phrases.TOO_LITTLE if self._seller else phrases.TOO_MUCH))
        elif drawn < 0.8 and self._reasons:
            reason = self._reasons.pop()
            lower = bool(parts) and parts[-1].endswith((",", ":", "but"))
            parts.append((reason if lower else reason[0].upper() + reason[1:]) + ".")
        return parts

    def _offer(self) -> str:
        if self._spoken == 0:
            return self._one(phrases.ASKS_FIRST if self._seller else phrases.BIDS_FIRST)
        return self._one(phrases.ASKS if self._seller else phrases.BIDS)

    def _accept(self) -> list[str]:
        said = self._one(phrases.ACCEPTS_SELLER if self._seller else phrases.ACCEPTS_BUYER)
        return [said, *self._maybe(0.5, phrases.HAPPY[self._mood])]

    def _leave(self) -> str:
        return self._one(phrases.LEAVES_SELLER if self._seller else phrases.LEAVES_BUYER)

    def _one(self, choices: Sequence[str]) -> str:
        return choices[self._chance.randrange(len(choices))]

    def _maybe(self, probability: float, choices: Sequence[str]) -> list[str]:
        return [self._one(choices)] if self._chance.random() < probability else []


def _joined(parts: Sequence[str]) -> str:
    """Clauses one after the other; after a comma or a colon it goes on in lower case, but for I and names."""
    text = ""
    for part in parts:
        if text.endswith((",", ":", "but")) and not part.startswith(("I ", "I'")):
            part = part[0].lower() + part[1:]
        text = f"{text} {part}" if text else part
    return text
