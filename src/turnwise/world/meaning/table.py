"""A table of agents: a CSV file whose rows are agents and whose columns are arguments.

A column in which every cell that is not empty is a number becomes numbers, one of `true` and `false` becomes booleans,
and all others stay text. An empty cell sets nothing, so the kind's own `args` hold there.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.world.limits import AGENTS_MAX, INTEGER_MAX
from turnwise.world.problems import listed, nearest, quoted

NAME_COLUMN: Final = "name"

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BOOLEANS: Final = {"true": True, "false": False}

Cell = str | int | float | bool | None
Report = Callable[[str, str], None]
"""Takes a message and a hint."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a table, column by column. All sequences have one entry per row."""

    names: Sequence[str] | None
    """Names of the agents; None without a column `name`."""
    columns: dict[str, Sequence[Cell]]
    """Cells by column. A cell of None sets nothing."""
    lines: Sequence[int]
    """Line numbers in the file."""

    def texts_over(self, bases: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return each row as canonical JSON text of an object, over one base for all rows or one for each.

        The texts are put together column by column, at a fraction of what encoding row by row costs.
        """
        members: list[Iterable[str | None]] = []
        for key in sorted({*self.columns, *(key for base in bases for key in base)}):
            head = f"{canonical(key)}:"
            under: Iterable[str | None] = [head + canonical(base[key]) if key in base else None for base in bases]
            if len(bases) == 1:
                under = repeat(*under)
            if key in self.columns:
                cells = self.columns[key]
                under = [
                    base if cell is None else head + _encode(cell) for cell, base in zip(cells, under, strict=False)
                ]
            members.append(under)
        return ["{" + ",".join(filter(None, row)) + "}" for row in zip(*members, strict=False)]


def read_table(text: str, file: str, required: Sequence[str], report: Report) -> Table | None:
    """Read CSV text. What is wrong is reported with the line, and the result is then None."""
    faults = 0

    def say(message: str, hint: str) -> None:
        nonlocal faults
        faults += 1
        report(message, hint)

    rows, lines = _rows(text, file, say)
    if not rows:
        if not faults:
            say(f"{quoted(file)} is empty", "The first line names the columns, each further line is one agent.")
        return None
    header = rows.pop(0)
    header_line = lines.pop(0)
    _check_header(header, header_line, file, required, say)
    if not rows and not faults:
        say(f"{quoted(file)} has no rows", "Add a row for each agent below the line that names the columns.")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            say(
                f"{quoted(file)} line {line} has {len(row)} instead of {len(header)} cells",
                "Give every row a cell for each column; a cell that holds a comma is written in double quotes.",
            )
    if faults:
        return None
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    for column in dict.fromkeys((*required, *([NAME_COLUMN] if NAME_COLUMN in cells else []))):
        for cell, line in zip(cells[column], lines, strict=True):
            if not cell:
                say(f"{quoted(file)} line {line} has nothing in the column {quoted(column)}", "Fill in the cell.")
    if faults:
        return None
    names = cells.pop(NAME_COLUMN, None)
    return Table(names, {column: _typed(values) for column, values in cells.items()}, lines)


def _encode(cell: str | int | float | bool) -> str:
    """Canonical JSON text of a cell."""
    if isinstance(cell, str | bool):
        return canonical(cell)
    return repr(cell)


def _rows(text: str, file: str, say: Report) -> tuple[list[list[str]], list[int]]:
    """Return all rows that are not blank, and the line in which each ends."""
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num)
                if len(rows) > AGENTS_MAX + 1:
                    say(f"{quoted(file)} has more than {AGENTS_MAX} rows", f"A world has at most {AGENTS_MAX} agents.")
                    break
    except csv.Error as error:
        say(
            f"{quoted(file)} line {reader.line_num} is not CSV: {error}",
            'Put cells with quotes in quotes: "say ""hi""".',
        )
    return rows, lines


def _check_header(header: Sequence[str], line: int, file: str, required: Sequence[str], say: Report) -> None:
    if len(header) == 1 and ";" in header[0]:
        say(f"{quoted(file)} separates its columns by semicolons", "Save it with commas between the columns.")
    seen: set[str] = set()
    for index, column in enumerate(header):
        if not column.strip():
            say(f"{quoted(file)} line {line}: column {index + 1} has no name", "Name every column in the first line.")
        elif column != column.strip():
            say(f"{quoted(file)} line {line}: the column {quoted(column)} has spaces around its name", "Remove them.")
        elif column in seen:
            say(f"{quoted(file)} line {line}: the column {quoted(column)} is there twice", "Rename or remove one.")
        seen.add(column)
    for column in required:
        if column not in seen:
            meant = nearest(column, header)
            start = f"Did you mean {quoted(meant)}? " if meant else ""
            say(
                f"{quoted(file)} lacks the column {quoted(column)}, which `columns` requires",
                f"{start}Add it, or take it out of `columns`. The file has: {listed(header)}.",
            )


def _typed(cells: Sequence[str]) -> Sequence[Cell]:
    """Return the cells of one column as numbers, booleans or texts, all of one type."""
    filled = [cell for cell in cells if cell]
    for convert in (_integers, _floats, _booleans):
        values = convert(filled)
        if values is not None:
            break
    else:
        values = filled
    if len(filled) == len(cells):
        return values
    following = iter(values)
    return [next(following) if cell else None for cell in cells]


def _integers(cells: Sequence[str]) -> Sequence[Cell] | None:
    if not all(map(_INTEGER.fullmatch, cells)):
        return None
    values = list(map(int, cells))
    return values if not values or (_fits(min(values)) and _fits(max(values))) else None


def _floats(cells: Sequence[str]) -> Sequence[Cell] | None:
    """Numbers of which some have a fraction or an exponent. Those that have none stay whole."""
    if not all(map(_NUMBER.fullmatch, cells)):
        return None
    values: list[int | float] = [int(cell) if _INTEGER.fullmatch(cell) else float(cell) for cell in cells]
    for value, cell in zip(values, cells, strict=True):
        if isinstance(value, int):
            if not _fits(value):
                return None
        elif not math.isfinite(value) or cell.lstrip("-").isdigit():  # digits only: too long to be a whole number
            return None
    return values


def _fits(value: int) -> bool:
    return -INTEGER_MAX - 1 <= value <= INTEGER_MAX


def _booleans(cells: Sequence[str]) -> Sequence[Cell] | None:
    if not set(cells) <= _BOOLEANS.keys():
        return None
    return [_BOOLEANS[cell] for cell in cells]
