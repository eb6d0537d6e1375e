"""What every engine is given, and what is measured of it."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Ids = list[int]


@dataclass(frozen=True, slots=True)
class Work:
    """Prompts that are all there from the beginning. The first `prefix` tokens of each are the same. `new`: to make.

    `later` are further turns: what comes after each prompt and its answer, once all of the turn before are answered.
    """

    name: str
    prompts: tuple[Ids, ...]
    new: int
    prefix: int = 0
    later: tuple[tuple[Ids, ...], ...] = ()

    def shortened(self) -> Work:
        """A few tokens of it, to warm up."""
        later = tuple(tuple(own[:4] for own in turn) for turn in self.later[:1])
        return Work(self.name, tuple(prompt[:8] for prompt in self.prompts), 2, min(self.prefix, 4), later)


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens of every prompt, and when each was known: seconds since the prompts were given."""

    tokens: list[Ids]
    times: list[list[float]]

    def check(self, prompts: int, new: int, who: str) -> None:
        """As many tokens as asked for, and a time for each, or the measurement is worth nothing."""
        counts = [(len(tokens), len(times)) for tokens, times in zip(self.tokens, self.times, strict=True)]
        if counts != [(new, new)] * prompts:
            raise SystemExit(f"{who}: {counts} tokens and times, not {new} of each of {prompts} prompts")

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


Run = Callable[[Work], list[Answer]]
"""Does the work from an empty cache; an answer for each turn."""


class Peer(Protocol):
    """An engine that keeps what it has computed until it is told to forget it."""

    def forget(self) -> None: ...

    def ask(self, prompts: Sequence[Ids], new: int) -> Answer: ...


def turns(peer: Peer) -> Run:
    """Every turn of the work, one after the other: each prompt goes on where its answer ended."""

    def run(work: Work) -> list[Answer]:
        peer.forget()
        prompts = list(work.prompts)
        answers = [peer.ask(prompts, work.new)]
        for turn in work.later:
            parts = zip(prompts, answers[-1].tokens, turn, strict=True)
            prompts = [prompt + answer + own for prompt, answer, own in parts]
            answers.append(peer.ask(prompts, work.new))
        return answers

    return run


def works(vocabulary: int, scale: int) -> list[Work]:
    """The measurements; `scale` divides the lengths. The last ids of the vocabulary mean something: never used."""
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
        Work(
            "conversation",
            tuple(ids(64) for _ in range(16)),
            new,
            later=tuple(tuple(ids(64) for _ in range(16)) for _ in range(2)),
        ),
    ]


def odd_works(vocabulary: int, scale: int) -> list[Work]:
    """The same kinds of work with odd numbers of tokens, where whatever wants even ones has most to do.

    A prompt of the conversation and what is decoded after it, 65 and 31 tokens, fill three blocks of the prompt cache:
    an engine that may keep both has nothing of the answer to prefill again.
    """
    dice = random.Random(6)

    def ids(count: int) -> Ids:
        return [dice.randrange(1, vocabulary - 8) for _ in range(count | 1)]

    prefix = ids(512 // scale)[:-1]
    return [
        Work("one_stream", (ids(512 // scale),), 64 // scale),
        Work("agents", tuple(prefix + ids(64 // scale) for _ in range(16)), 32 // scale, len(prefix)),
        Work(
            "conversation",
            tuple(ids(65) for _ in range(8)),
            32,
            later=tuple(tuple(ids(65) for _ in range(8)) for _ in range(2)),
        ),
    ]


MEASURES: dict[str, Callable[[Work, list[Answer]], float]] = {
    "total_s": lambda _, answers: sum(answer.total_s for answer in answers),
    "first_s": lambda _, answers: statistics.median(at for answer in _latest(answers) for at in answer.first_s),
    "first_max_s": lambda _, answers: max(at for answer in _latest(answers) for at in answer.first_s),
    "prefill_per_s": lambda work, answers: len(work.prompts[0]) / answers[0].first_s[0],
    "decode_per_s": lambda _, answers: statistics.median(answer.decode_per_s for answer in answers),
}
"""Seconds, of which less is better, and tokens a second, of which more is. Of the times to the first token of several
turns, those of all but the first turn count."""

MEASURED = {
    "one_stream": ("total_s", "first_s", "prefill_per_s", "decode_per_s"),
    "agents": ("total_s", "first_s", "first_max_s", "decode_per_s"),
    "decode_16": ("decode_per_s", "total_s"),
    "mixed": ("total_s", "first_s", "first_max_s"),
    "conversation": ("total_s", "first_s", "first_max_s"),
}


def _latest(answers: list[Answer]) -> list[Answer]:
    return answers[1:] or answers
