"""A run's result for people: one line where it is short, else its members below each other, and tables of like ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

LINE_CHARS_MAX: Final = 80
"""A value whose JSON text is no longer than this stays one line."""
DEPTH_MAX: Final = 4
"""Deeper values are shown as JSON text."""
TABLE_ROWS_MIN: Final = 2
TABLE_COLUMNS_MAX: Final = 12
CELL_CHARS_MAX: Final = 40


def result_text(value: object) -> str:
    """Return the text for any JSON value: a text as it is, other values as JSON or laid out in lines."""
    return value if isinstance(value, str) else "\n".join(_lines(value, 0))


def _lines(value: object, depth: int) -> Iterator[str]:
    text = _json(value)
    if len(text) <= LINE_CHARS_MAX or depth == DEPTH_MAX or not isinstance(value, Mapping | list):
        yield text
    elif isinstance(value, Mapping):
        columns = max(len(str(name)) for name in value) + 2
        for name, member in value.items():
            first, *others = _lines(member, depth + 1)
            yield f"{name:<{columns}}{first}"
            for line in others:
                yield f"{'':<{columns}}{line}"
    elif table := _table(value):
        yield from table
    else:
        for member in value:
            first, *others = _lines(member, depth + 1)
            yield f"- {first}"
            for line in others:
                yield f"  {line}"


def _table(rows: Sequence[object]) -> list[str]:
    """Return the lines of a table with a heading, if all rows are objects with the same members, and short ones."""
    if len(rows) < TABLE_ROWS_MIN or not isinstance(rows[0], Mapping) or not 1 <= len(rows[0]) <= TABLE_COLUMNS_MAX:
        return []
    names = list(rows[0])
    cells = [names]
    numeric = set(names)
    for row in rows:
        if not isinstance(row, Mapping) or row.keys() != rows[0].keys():
            return []
        cells.append([value if isinstance(value := row[name], str) else _json(value) for name in names])
        numeric -= {name for name in names if isinstance(row[name], bool) or not isinstance(row[name], int | float)}
    if any(len(cell) > CELL_CHARS_MAX or "\n" in cell for line in cells for cell in line):
        return []
    widths = [max(len(line[place]) for line in cells) for place in range(len(names))]
    return [
        "  ".join(
            cell.rjust(width) if name in numeric else cell.ljust(width)
            for cell, width, name in zip(line, widths, names, strict=True)
        ).rstrip()
        for line in cells
    ]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
