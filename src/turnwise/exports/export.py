"""A run exported in one of the formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, get_args

from turnwise.errors import EnvironmentFailure, TurnwiseError, UsageError
from turnwise.exports.inspect_log import write_inspect
from turnwise.exports.otel import write_otel
from turnwise.exports.perfetto import write_perfetto
from turnwise.exports.table_files import TableFormat, write_tables
from turnwise.journal import Journal
from turnwise.journal.run import Run

ExportFormat = Literal["parquet", "csv", "jsonl", "perfetto", "inspect", "otel"]
FORMATS: Final[tuple[ExportFormat, ...]] = get_args(ExportFormat)
TABLE_FORMATS: Final[tuple[TableFormat, ...]] = get_args(TableFormat)


def export(
    journal: Path,
    out: Path,
    to: str,
    *,
    tables: Sequence[str] = (),
    content: bool = False,
    parents: Sequence[Path] = (),
) -> list[Path]:
    """Export the run of a journal to a new file, tables to a new folder; return the files.

    `tables` keeps some tables. With `content`, traces hold texts, too. `parents` are files, and folders, in which to
    look for what a fork goes on from, if that was moved. The content of the journal is compared with its chains first.
    """
    if to not in FORMATS:
        raise UsageError(f"there is no format {to!r}", where="--to", hint=f"Give one of {', '.join(FORMATS)}.")
    if tables and to not in TABLE_FORMATS:
        raise UsageError(f"{to} has no tables", where="--table", hint=f"Of {', '.join(TABLE_FORMATS)} one can choose.")
    if out.exists():
        raise UsageError("it exists already, and is not overwritten", where=str(out), hint="Give another name.")
    try:
        with Run.open(journal, parents=parents) as run, Journal.open(journal, parents=parents) as file:
            run.check()
            for kind in TABLE_FORMATS:
                if to == kind:
                    return write_tables(file, out, kind, tables)
            try:
                if to == "perfetto":
                    write_perfetto(file, out, content=content)
                elif to == "otel":
                    write_otel(file, run, out, content=content)
                else:
                    write_inspect(file, run, out)
            except TurnwiseError:
                out.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise EnvironmentFailure(
            f"it could not be written: {error.strerror}", where=str(out), hint="Look at the path and the disk."
        ) from error
    return [out]
