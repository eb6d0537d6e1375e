"""Choices of a step: a token for each of many rows, on two threads where there is enough to do.

A choice depends on its own row and request alone, so it does not matter who makes it, or when. What is greedy, or first
leaves out most tokens, takes less than handing it over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.requests.generate_request import Sampling
from turnwise.inference.sampling.changes import Changes
from turnwise.inference.sampling.choose import UnusableLogits, choose

NUMBERS_MIN: Final = 1 << 20
"""Logits of which weights are made, from which on a second thread is worth its beginning: two milliseconds of them."""


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """Arguments of `choose`: one row, and what a request says of it."""

    logits: NDArray[Any]
    sampling: Sampling
    stream: bytes
    index: int
    allowed: NDArray[np.bool_] | None = None
    changes: Changes | None = None

    @property
    def is_heavy(self) -> bool:
        """True if weights are made of the whole row."""
        sampling = self.sampling
        whole = self.allowed is None and (sampling.top_k is None or sampling.top_k >= len(self.logits))
        few = sampling.min_p and (sampling.top_p is None or sampling.top_p >= 1.0)
        return whole and sampling.temperature != 0.0 and not few

    def make(self) -> int | UnusableLogits:
        """Choose the token, or return why there is none."""
        try:
            return choose(self.logits, self.sampling, self.stream, self.index, self.allowed, self.changes)
        except UnusableLogits as error:
            return error


def make_choices(choices: Sequence[TokenChoice], threads: int) -> list[int | UnusableLogits]:
    """Make choices, in their order; of many heavy ones, half on another thread if there are `threads` for it."""
    heavy = [place for place, choice in enumerate(choices) if choice.is_heavy]
    numbers = sum(len(choices[place].logits) for place in heavy)
    if threads == 1 or len(heavy) == 1 or numbers < NUMBERS_MIN:
        return [choice.make() for choice in choices]
    theirs = heavy[len(heavy) // 2 :]
    found: dict[int, int | UnusableLogits] = {}
    failed: list[BaseException] = []

    def make_theirs() -> None:
        try:
            found.update({place: choices[place].make() for place in theirs})
        except BaseException as error:
            failed.append(error)

    other = Thread(target=make_theirs, name="choices")
    other.start()
    mine = {place: choice.make() for place, choice in enumerate(choices) if place not in set(theirs)}
    other.join()
    if failed:
        raise failed[0]
    found |= mine
    return [found[place] for place in range(len(choices))]
