"""Amounts of turns that no column of a journal holds: tokens that models wrote in them, and the time that they took."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from turnwise.journal.read.query import Query
from turnwise.journal.read.timings import TimingReader

ROUNDS_EACH: Final = 256
"""Rounds whose effects are fetched at once."""
_REPLIES: Final = (
    "SELECT round, place, reply FROM effects WHERE round >= ? AND round < ? AND place >= ? AND place < ? "
    "AND model IS NOT NULL"
)


class _WrittenTokens(msgspec.Struct):
    tokens: int = 0


class _Reply(msgspec.Struct):
    ok: _WrittenTokens | None = None


_DECODER: Final = msgspec.json.Decoder(_Reply)


def tokens_written(reply: str) -> int:
    """Count the tokens that a model wrote, as its reply says; 0 for a reply that says nothing of the kind."""
    try:
        found = _DECODER.decode(reply)
    except msgspec.DecodeError:
        return 0  # vectors, tensors, or a reply that was taken out
    return 0 if found.ok is None else max(0, found.ok.tokens)


class AmountReader:
    """Reads amounts of turns, of some rounds and places: (round, place, amount). Ends are exclusive."""

    def __init__(self, query: Query, timings: TimingReader) -> None:
        self._query = query
        self._timings = timings

    def tokens(self, first: int, end: int, place_first: int, place_end: int) -> Iterator[tuple[int, int, int]]:
        """Tokens that models wrote, once for each effect; those of a turn that waited stand in the round that asked."""
        decoder = self._query.decoder
        last = self._query.row("SELECT max(round) FROM rounds") or (None,)
        for start in range(first, min(end, (last[0] or 0) + 1), ROUNDS_EACH):
            rows = self._query.rows(_REPLIES, start, min(end, start + ROUNDS_EACH), place_first, place_end)
            decoder.prefetch(rows, 2)
            for round_, place, reply in rows:
                yield round_, place, tokens_written(decoder.value(reply, "a reply"))

    def times_us(self, first: int, end: int, place_first: int, place_end: int) -> Iterator[tuple[int, int, int]]:
        """Microseconds that turns took, waiting for effects included."""
        for round_, places, times in self._timings.turn_times(first, end - 1):
            for place, time in zip(places, times, strict=True):
                if place_first <= place < place_end:
                    yield round_, place, time
