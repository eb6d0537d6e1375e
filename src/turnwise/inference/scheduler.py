"""Decides what the engine runs next. Numbers only: no tensor, no text, no clock.

Requests are served in the order of their numbers, never of their arrival, so that a run's requests meet the model in
the same order whatever the workers do. Prompts are prefilled before anything decodes on; `running_max` sequences run at
once.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

from turnwise.errors import InvariantError


@dataclass(frozen=True, slots=True)
class Prefill:
    """Run prompt tokens [start, stop) of a sequence; with `last`, its first token is then chosen."""

    number: int
    start: int
    stop: int
    last: bool


@dataclass(frozen=True, slots=True)
class Decode:
    """Run one token of each of these sequences, in this order."""

    numbers: tuple[int, ...]


Work = Prefill | Decode


class Scheduler:
    """Waiting and running sequences. `chunk_tokens` cuts prompts (None: whole); never into a tail of one token."""

    def __init__(self, *, running_max: int, chunk_tokens: int | None) -> None:
        if running_max < 1 or (chunk_tokens is not None and chunk_tokens < 3):
            raise InvariantError(f"running_max {running_max}, chunk_tokens {chunk_tokens}")
        self._running_max = running_max
        self._chunk_tokens = chunk_tokens
        self._waiting: list[int] = []
        self._running: list[int] = []
        self._prompts: dict[int, int] = {}
        self._done: dict[int, int] = {}

    @property
    def waiting(self) -> int:
        """How many sequences have not begun."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many sequences hold KV cache."""
        return len(self._running)

    def add(self, number: int, prompt_tokens: int) -> None:
        """A new sequence with a prompt of that many tokens (at least 1)."""
        if number in self._prompts or prompt_tokens < 1:
            raise InvariantError(f"sequence {number} with {prompt_tokens} tokens cannot be added")
        self._prompts[number] = prompt_tokens
        self._done[number] = 0
        insort(self._waiting, number)

    def remove(self, number: int) -> None:
        """The sequence has ended, or is not wanted any more."""
        if self._prompts.pop(number, None) is None:
            raise InvariantError(f"there is no sequence {number}")
        del self._done[number]
        (self._running if number in self._running else self._waiting).remove(number)

    def next(self) -> Work | None:
        """What to run now; `None` when there is nothing. The work counts as done."""
        while self._waiting and len(self._running) < self._running_max:
            insort(self._running, self._waiting.pop(0))
        for number in self._running:
            start, prompt = self._done[number], self._prompts[number]
            if start < prompt:
                stop = chunk_end(start, prompt, self._chunk_tokens)
                self._done[number] = stop
                return Prefill(number, start, stop, last=stop == prompt)
        return Decode(tuple(self._running)) if self._running else None


def chunk_end(start: int, count: int, chunk_tokens: int | None) -> int:
    """Where the chunk from `start` of a prompt of `count` tokens ends.

    A step of one token uses other arithmetic than a step of several. So a chunk gives up its last token where one
    token would be left over: then a prompt gives the same bits in one piece and in chunks of any size.
    """
    if chunk_tokens is None or count - start <= chunk_tokens:
        return count
    stop = start + chunk_tokens
    return stop - 1 if count - stop == 1 else stop
