"""Rows of the KV cache and the sequences that lie in them. Numbers only.

A decode step binds one range of rows, so those that decode are rows 0 to `decoding`, without gaps; behind them is at
most one that is being prefilled. When a row becomes free, another moves there: a copy of what one sequence has in the
cache, once, which is less than what an empty row would cost in every step.
"""

from __future__ import annotations

from dataclasses import dataclass

from turnwise.errors import InvariantError


@dataclass(frozen=True, slots=True)
class Move:
    """A copy of what row `source` holds to row `target`; `source` is then free."""

    source: int
    target: int


class KvRows:
    """Rows by sequence number."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._decoding = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, number: int) -> bool:
        return number in self._rows

    @property
    def decoding(self) -> tuple[int, ...]:
        """Numbers of the sequences that decode, by row."""
        return tuple(self._rows[: self._decoding])

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of all sequences that have a row, by row."""
        return tuple(self._rows)

    def row(self, number: int) -> int:
        return self._rows.index(number)

    def enter(self, number: int) -> int:
        """Give a row to a sequence that will be prefilled."""
        if number in self._rows or self._decoding < len(self._rows):
            raise InvariantError(f"sequence {number} gets no row: {self._rows} of which {self._decoding} decode")
        self._rows.append(number)
        return self._decoding

    def ready(self, number: int) -> None:
        """Count a sequence among those that decode: it is prefilled."""
        if self._decoding == len(self._rows) or self._rows[-1] != number:
            raise InvariantError(f"sequence {number} is not being prefilled")
        self._decoding += 1

    def leave(self, number: int) -> tuple[Move, ...]:
        """Take the row from a sequence; returns the moves that close the gap, to be made in this order."""
        gap = self._rows.index(number)
        moves = []
        if gap < self._decoding:
            self._decoding -= 1
            if gap < self._decoding:
                moves.append(self._move(self._decoding, gap))
                gap = self._decoding
        if gap < len(self._rows) - 1:
            moves.append(self._move(len(self._rows) - 1, gap))
        self._rows.pop()
        return tuple(moves)

    def _move(self, source: int, target: int) -> Move:
        self._rows[target] = self._rows[source]
        return Move(source, target)
