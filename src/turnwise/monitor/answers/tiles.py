"""Tiles of the timeline: sums of turns in a grid of rounds and agents, as numbers that a canvas can take at once."""

from __future__ import annotations

import sys
from array import array
from typing import Final

from turnwise.errors import UsageError
from turnwise.journal.journal import Journal
from turnwise.journal.read.grid import Measure
from turnwise.monitor.answers.lanes import Lineage

SIDE_BITS: Final = 8
"""A tile has 256 columns and 256 rows."""
BITS_MAX: Final = 30
"""A cell covers at most 2 to this many rounds, or places."""
COORDINATE_MAX: Final = 2**31


def tile(
    journal: Journal,
    measure: Measure,
    column: int,
    row: int,
    round_bits: int,
    place_bits: int,
    lanes: Lineage | None = None,
) -> bytes:
    """A tile: four columns of 32 bits, little-endian, one behind the other, each as long as the tile has cells.

    They are the indices of the cells (unsigned), their turns (unsigned), those that failed (unsigned) and what is
    measured (floating point). Tile `column` begins with round `column` × 256 × 2^`round_bits`, `row` likewise.
    With `lanes`, rows are those.
    """
    if not (0 <= round_bits <= BITS_MAX and 0 <= place_bits <= BITS_MAX):
        raise UsageError("there is no such scale", where="tile", actual=f"{round_bits}, {place_bits}")
    if not (0 <= column < COORDINATE_MAX and 0 <= row < COORDINATE_MAX):
        raise UsageError("there is no such tile", where="tile", actual=f"{column}, {row}")
    round_first = column << (SIDE_BITS + round_bits)
    place_first = row << (SIDE_BITS + place_bits)
    if lanes is None:
        cells = journal.grid.cells(measure, round_first, place_first, round_bits, place_bits, SIDE_BITS)
    else:
        cells = lanes.cells(journal, measure, round_first, place_first, (round_bits, place_bits), SIDE_BITS)
    columns = (
        array("I", [cell.index for cell in cells]),
        array("I", [min(cell.turns, 2**32 - 1) for cell in cells]),
        array("I", [min(cell.failed, 2**32 - 1) for cell in cells]),
        array("f", [min(cell.value, 3e38) for cell in cells]),
    )
    if sys.byteorder == "big":
        for numbers in columns:
            numbers.byteswap()
    return b"".join(numbers.tobytes() for numbers in columns)
