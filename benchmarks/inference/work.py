"""What every engine is given, and what is measured of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

Ids = list[int]


@dataclass(frozen=True, slots=True)
class Work:
    """Prompts that are all there from the beginning. The first `prefix` tokens of each are the same. `new`: to make."""

    name: str
    prompts: tuple[Ids, ...]
    new: int
    prefix: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens of every prompt, and when each was known: seconds since the prompts were given."""

    tokens: list[Ids]
    times: list[list[float]]

    def check(self, work: Work) -> None:
        """As many tokens as asked for, and a time for each, or the measurement is worth nothing."""
        for tokens, times in zip(self.tokens, self.times, strict=True):
            if len(tokens) != work.new or len(times) != work.new:
                raise SystemExit(f"{work.name}: {len(tokens)} tokens at {len(times)} times, not {work.new}")

    @property
    def total_s(self) -> float:
        return max(times[-1] for times in self.times)

    @property
    def first_s(self) -> list[float]:
        """Time to the first token, by prompt."""
        return [times[0] for times in self.times]

    @property
    def decode_per_s(self) -> float:
        """Tokens a second from when all prompts have their first token until the first of them has its last."""
        begin, end = max(times[0] for times in self.times), min(times[-1] for times in self.times)
        if end <= begin:
            return 0.0
        return sum(begin < at <= end for times in self.times for at in times) / (end - begin)


Run = Callable[[Work], Answer]


def works(vocabulary: int, scale: int) -> list[Work]:
    """The four measurements; `scale` divides the lengths. The last ids of the vocabulary mean something: never used."""
    dice = random.Random(5)

    def ids(count: int) -> Ids:
        return [dice.randrange(1, vocabulary - 8) for _ in range(max(count // scale, 2))]

    prefix = ids(512)
    lengths = [32 + round(992 * index / 15) for index in range(16)]
    dice.shuffle(lengths)
    new = 32 // scale
    return [
        Work("one_stream", (ids(512),), 64 // scale),
        Work("agents", tuple(prefix + ids(64) for _ in range(16)), new, len(prefix)),
        Work("decode_16", tuple(ids(64) for _ in range(16)), new),
        Work("mixed", tuple(ids(length) for length in lengths), new),
    ]
