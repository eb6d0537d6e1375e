"""The tables of a run as files: Parquet, CSV or JSON lines, one for each table, in a new folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

from turnwise.errors import UsageError
from turnwise.journal import Journal
from turnwise.journal.tables import TABLES, ColumnType, FlatTable, table

TableFormat = Literal["parquet", "csv", "jsonl"]

ROWS_AT_ONCE: Final = 10_000


def write_tables(journal: Journal, out: Path, kind: TableFormat, names: Sequence[str] = ()) -> list[Path]:
    """Write tables (all, or those of some names) into a new folder; return the files."""
    chosen = [table(name) for name in names] or list(TABLES.values())
    write = _WRITERS[kind]
    if kind == "parquet":
        arrow_library()
    try:
        out.mkdir()
    except OSError as error:
        raise UsageError(
            f"the folder cannot be made: {error.strerror}", where=str(out), hint="Give a name that is free."
        ) from error
    files = []
    for one in chosen:
        path = out / f"{one.name}.{kind}"
        write(journal, one, path)
        files.append(path)
    return files


def _write_csv(journal: Journal, of: FlatTable, path: Path) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.name for column in of.columns])
        writer.writerows(of.rows(journal))


def _write_jsonl(journal: Journal, of: FlatTable, path: Path) -> None:
    names = [column.name for column in of.columns]
    with path.open("x", encoding="utf-8", newline="\n") as file:
        for row in of.rows(journal):
            file.write(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n")


def _write_parquet(journal: Journal, of: FlatTable, path: Path) -> None:
    arrow = arrow_library()
    from pyarrow import parquet

    schema = arrow.schema([(column.name, getattr(arrow, _MAKERS[column.type])()) for column in of.columns])
    rows = of.rows(journal)
    open_writer: Any = parquet.ParquetWriter
    with open_writer(path, schema, compression="zstd") as writer:
        while page := list(islice(rows, ROWS_AT_ONCE)):
            columns = [
                arrow.array(cells, field.type) for cells, field in zip(zip(*page, strict=True), schema, strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))


_MAKERS: Final[dict[ColumnType, str]] = {"integer": "int64", "number": "float64", "text": "string", "json": "string"}

_WRITERS: Final[dict[TableFormat, Callable[[Journal, FlatTable, Path], None]]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "jsonl": _write_jsonl,
}


def arrow_library() -> Any:
    """Import pyarrow. Raises UsageError that names the extra where it is not installed."""
    try:
        import pyarrow
    except ImportError as error:
        raise UsageError("pyarrow is not installed", hint='Install it: pip install "turnwise[tables]"') from error
    return pyarrow
