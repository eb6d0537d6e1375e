"""Tiles of the timeline: sums of turns in a grid of rounds and agents, as numbers that a canvas can take at once."""

from __future__ import annotations

import sys
from array import array
from dataclasses import replace
from typing import Final, Literal, cast, get_args

from turnwise.errors import UsageError
from turnwise.journal.journal import Journal
from turnwise.journal.read.grid import Cell, Measure, Recorded
from turnwise.monitor.answers.lanes import Lineage

Amount = Literal["tokens", "time"]
"""Quantity that no column of turns holds: tokens that models wrote, and microseconds."""

TileMeasure = Measure | Amount | Recorded
"""Quantity by which cells of a tile are coloured."""

RECORD: Final = "record:"
"""Beginning of a measure's name that is a recorded value's."""

SIDE_BITS: Final = 8
"""A tile has 256 columns and 256 rows."""
BITS_MAX: Final = 30
"""A cell covers at most 2 to this many rounds, or places."""
COORDINATE_MAX: Final = 2**31


def measure_named(name: str) -> TileMeasure:
    """Return the measure of a name; raises UsageError if there is none."""
    if name.startswith(RECORD):
        return Recorded(name.removeprefix(RECORD))
    known = (*get_args(Measure), *get_args(Amount))
    if name not in known:
        hint = f"There: {', '.join(known)}, {RECORD}NAME."
        raise UsageError("there is no such measure", where="measure", actual=name, hint=hint)
    return cast("TileMeasure", name)


def tile(
    journal: Journal,
    measure: TileMeasure,
    column: int,
    row: int,
    round_bits: int,
    place_bits: int,
    lanes: Lineage | None = None,
) -> bytes:
    """A tile: four columns of 32 bits, little-endian, one behind the other, each as long as the tile has cells.

    They are the indices of the cells (unsigned), their turns (unsigned), those that failed (unsigned) and what is
    measured (floating point; of a recorded value its mean times the turns, NaN without one). Tile `column` begins with
    round `column` × 256 × 2^`round_bits`, `row` likewise. With `lanes`, rows are those.
    """
    if not (0 <= round_bits <= BITS_MAX and 0 <= place_bits <= BITS_MAX):
        raise UsageError("there is no such scale", where="tile", actual=f"{round_bits}, {place_bits}")
    if not (0 <= column < COORDINATE_MAX and 0 <= row < COORDINATE_MAX):
        raise UsageError("there is no such tile", where="tile", actual=f"{column}, {row}")
    round_first = column << (SIDE_BITS + round_bits)
    place_first = row << (SIDE_BITS + place_bits)
    bits = round_bits, place_bits
    if measure == "tokens" or measure == "time":
        cells = _with_amounts(journal, measure, round_first, place_first, bits, lanes)
    else:
        cells = _cells(journal, measure, round_first, place_first, bits, lanes)
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


def _cells(
    journal: Journal,
    measure: Measure | Recorded,
    round_first: int,
    row_first: int,
    bits: tuple[int, int],
    lanes: Lineage | None,
) -> list[Cell]:
    if lanes is None:
        return journal.grid.cells(measure, round_first, row_first, *bits, SIDE_BITS)
    return lanes.cells(journal, measure, round_first, row_first, bits, SIDE_BITS)


def _with_amounts(
    journal: Journal,
    amount: Amount,
    round_first: int,
    row_first: int,
    bits: tuple[int, int],
    lanes: Lineage | None,
) -> list[Cell]:
    """Cells with sums of an amount; what a turn had in rounds before its last, as it waited, is in none of them."""
    rows = 1 << (bits[1] + SIDE_BITS)
    row_of: dict[int, int] | None = None
    of = row_first, row_first + rows
    if lanes is not None:
        row_of = {place: row for row, place in enumerate(lanes.places(row_first, rows))}
        of = min(row_of, default=0), max(row_of, default=-1) + 1
    reads = journal.amounts.tokens if amount == "tokens" else journal.amounts.times_us
    sums: dict[int, int] = {}
    for round_, place, value in reads(round_first, round_first + (1 << (bits[0] + SIDE_BITS)), *of):
        row = place - row_first if row_of is None else row_of.get(place)
        if row is not None:
            index = ((round_ - round_first) >> bits[0]) + ((row >> bits[1]) << SIDE_BITS)
            sums[index] = sums.get(index, 0) + value
    cells = _cells(journal, "turns", round_first, row_first, bits, lanes)
    return [replace(cell, value=float(sums.get(cell.index, 0))) for cell in cells]
