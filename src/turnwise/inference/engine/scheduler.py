"""Decides what the engine runs next. Numbers only: no tensor, no text, no clock.

Sequences begin in the order of their numbers, never of their arrival, so that a run's requests meet the model in the
same order whatever the workers do. One prompt is prefilled at a time, in chunks; those that are prefilled decode
together, one token each a step. Between two decode steps at most `prefill_tokens_max` prompt tokens are run (and what
is left of one chunk), so that a long prompt does not keep the others waiting, and short ones join in groups. Several
tokens that a sequence has to run at once are run by themselves, and count with the prompts.

Where the cache grows with each step, only sequences of equal length can share one. Then the shortest go first, until
they are as long as others and all go on together: so each length is run once, and not once for every sequence. Nobody
waits for more than `WAIT_STEPS_MAX` steps of others. Prompts go before steps there, since who is prefilled later has to
catch up.

Memory is counted in positions of KV cache: every sequence that runs has a row, all rows are equally long, and as long
as the longest of them needs.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from turnwise.errors import InvariantError
from turnwise.inference.plans.batching import PREFILL_TOKENS_MAX_DEFAULT
from turnwise.inference.plans.kv_sizes import row_positions

WAIT_STEPS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class BeginSequence:
    """Give a sequence a row, before its first chunk. Then `Scheduler.reused` may be called.

    - `number`: of the sequence
    - `room`: positions that all rows need
    """

    number: int
    room: int


@dataclass(frozen=True, slots=True)
class PrefillChunk:
    """Run a chunk of a prompt.

    - `number`: of the sequence
    - `start`, `stop`: prompt tokens [start, stop)
    - `last`: whether the prompt is then complete, and the first token is chosen
    """

    number: int
    start: int
    stop: int
    last: bool


@dataclass(frozen=True, slots=True)
class ExtendSequence:
    """Run the tokens of a sequence that decodes which are known already; then its next one is chosen."""

    number: int


@dataclass(frozen=True, slots=True)
class DecodeStep:
    """Run one token of each of these sequences (rising numbers) together."""

    numbers: tuple[int, ...]


Work = BeginSequence | PrefillChunk | ExtendSequence | DecodeStep


@dataclass(slots=True)
class _Entry:
    prompt: int
    room: int
    done: int = 0
    steps: int = 0
    waited: int = 0

    @property
    def length(self) -> int:
        return self.done + self.steps


class Scheduler:
    """Waiting and running sequences.

    - `rows_max`: sequences that run at once, at most
    - `chunk_tokens`: prompts are cut into chunks of so many, never into a tail of one token; None: they run whole
    - `positions_max`: of KV cache, for all rows together; None: no bound
    - `rows_spare`: rows beside those of sequences
    - `room_max`: positions that a row can need at most; None: no bound
    - `prefill_tokens_max`: prompt tokens between two decode steps, at most
    - `equal`: whether only equally long sequences decode together
    """

    def __init__(
        self,
        *,
        rows_max: int,
        chunk_tokens: int | None,
        positions_max: int | None = None,
        rows_spare: int = 0,
        room_max: int | None = None,
        prefill_tokens_max: int = PREFILL_TOKENS_MAX_DEFAULT,
        equal: bool = False,
    ) -> None:
        if rows_max < 1 or (chunk_tokens is not None and chunk_tokens < 3) or prefill_tokens_max < 1:
            raise InvariantError(
                f"rows_max {rows_max}, chunk_tokens {chunk_tokens}, prefill_tokens_max {prefill_tokens_max}"
            )
        self._rows_max = rows_max
        self._chunk_tokens = chunk_tokens
        self._positions_max = positions_max
        self._rows_spare = rows_spare
        self._room_max = room_max
        self._prefill_tokens_max = prefill_tokens_max
        self._equal = equal
        self._prefilled = 0
        self._entries: dict[int, _Entry] = {}
        self._waiting: list[int] = []
        self._filling: int | None = None
        self._decoding: list[int] = []
        self._known: dict[int, int] = {}

    @property
    def waiting(self) -> int:
        """Number of sequences that have not begun."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Number of sequences that hold KV cache."""
        return len(self._decoding) + (self._filling is not None)

    def add(self, number: int, prompt_tokens: int, capacity: int | None = None) -> None:
        """Add a sequence with a prompt of that many tokens (at least 1), that needs `capacity` positions in all."""
        capacity = prompt_tokens if capacity is None else capacity
        if number in self._entries or not 1 <= prompt_tokens <= capacity:
            raise InvariantError(f"sequence {number} with {prompt_tokens} tokens of {capacity} cannot be added")
        self._entries[number] = _Entry(prompt_tokens, row_positions(capacity, self._room_max))
        insort(self._waiting, number)

    def reused(self, number: int, tokens: int) -> None:
        """Skip so many prompt tokens of the sequence that has just begun. At least two must be left."""
        entry = self._entries.get(number)
        if number != self._filling or entry is None or entry.done or not 0 < tokens <= entry.prompt - 2:
            raise InvariantError(f"{tokens} tokens of sequence {number} cannot be reused")
        entry.done = tokens

    def extend(self, number: int, tokens: int) -> None:
        """Run so many known tokens (at least two) of a sequence that decodes before its next step."""
        if number not in self._decoding or number in self._known or tokens < 2:
            raise InvariantError(f"sequence {number} cannot be extended by {tokens} tokens")
        self._known[number] = tokens

    def remove(self, number: int) -> None:
        """Remove a sequence, which has ended or is not wanted any more."""
        if self._entries.pop(number, None) is None:
            raise InvariantError(f"there is no sequence {number}")
        self._known.pop(number, None)
        if number == self._filling:
            self._filling = None
        else:
            (self._decoding if number in self._decoding else self._waiting).remove(number)

    def next(self) -> Work | None:
        """Choose what to run now, None when there is nothing. The work counts as done."""
        free = self._prefilled < self._prefill_tokens_max
        steps = len(self._known) < len(self._decoding)
        if self._known and free:
            return self._extend()
        if free or not steps:
            if self._filling is not None:
                return self._chunk(self._filling)
            if self._waiting and (begin := self._begin(self._waiting[0])) is not None:
                return begin
        self._prefilled = 0
        if steps:
            return DecodeStep(self._together([number for number in self._decoding if number not in self._known]))
        return self._extend() if self._known else None

    def _extend(self) -> ExtendSequence:
        number = min(self._known)
        tokens = self._known.pop(number)
        self._prefilled += tokens
        self._entries[number].steps += tokens
        return ExtendSequence(number)

    def _together(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """Choose which of these take the next step: all, or the shortest, unless somebody has waited for too long."""
        entries = self._entries
        chosen = tuple(numbers)
        if self._equal:
            overdue = [number for number in numbers if entries[number].waited >= WAIT_STEPS_MAX]
            length = min(entries[number].length for number in overdue or numbers)
            chosen = tuple(number for number in numbers if entries[number].length == length)
            for number in numbers:
                entries[number].waited += 1
            for number in chosen:
                entries[number].waited = 0
        for number in chosen:
            entries[number].steps += 1
        return chosen

    def _begin(self, number: int) -> BeginSequence | None:
        """Begin the sequence with the lowest number if there is a row for it; no other goes before it."""
        entries = self._entries
        longest = max([entries[number].room, *(entries[other].room for other in self._decoding)])
        rows = len(self._decoding) + 1
        if rows > self._rows_max:
            return None
        too_much = self._positions_max is not None and (rows + self._rows_spare) * longest > self._positions_max
        if too_much and self._decoding:
            return None
        self._filling = self._waiting.pop(0)
        return BeginSequence(number, longest)

    def _chunk(self, number: int) -> PrefillChunk:
        entry = self._entries[number]
        start = entry.done
        entry.done = stop = chunk_end(start, entry.prompt, self._chunk_tokens)
        self._prefilled += stop - start
        last = stop == entry.prompt
        if last:
            self._filling = None
            insort(self._decoding, number)
        return PrefillChunk(number, start, stop, last)


def chunk_end(start: int, count: int, chunk_tokens: int | None) -> int:
    """End of the chunk from `start` of a prompt of `count` tokens.

    A step of one token uses other arithmetic than a step of several. So a chunk gives up its last token where one
    token would be left over: then a prompt gives the same bits in one piece and in chunks of any size.
    """
    if chunk_tokens is None or count - start <= chunk_tokens:
        return count
    stop = start + chunk_tokens
    return stop - 1 if count - stop == 1 else stop
