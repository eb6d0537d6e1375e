"""The runs of a sweep as a table in one file, CSV or Parquet: a row a run."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from turnwise.errors import EnvironmentFailure, TurnwiseError, UsageError
from turnwise.exports.table_files import arrow_library
from turnwise.sweeps.row import SweptRun

ENDINGS: Final = (".csv", ".parquet")

_FIXED: Final = ("seed", "status", "message", "head", "rounds", "turns", "failed", "result", "journal")
_WHOLE: Final = ("seed", "rounds", "turns", "failed")


def check_table(path: Path) -> None:
    """Raise UsageError if no table can be written there; before the sweep, not after it."""
    if path.suffix not in ENDINGS:
        raise UsageError(
            "a table is a .csv or a .parquet file", where=f"--table {path}", hint="Let the name end with one of these."
        )
    if path.exists():
        raise UsageError("it exists already, and is not overwritten", where=str(path), hint="Give another name.")
    if not path.absolute().parent.is_dir():
        raise UsageError("its folder is not there", where=str(path), hint="Make the folder, or give another name.")
    if path.suffix == ".parquet":
        arrow_library()


def write_sweep_table(runs: Sequence[SweptRun], path: Path) -> None:
    """Write the table to a new file."""
    check_table(path)
    columns = table_of(runs)
    try:
        if path.suffix == ".csv":
            with path.open("x", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(columns)
                writer.writerows(zip(*columns.values(), strict=True))
        else:
            _write_parquet(columns, path)
    except OSError as error:
        raise EnvironmentFailure(
            f"the table could not be written: {error.strerror}", where=str(path), hint="Look at the path and the disk."
        ) from error
    except TurnwiseError:
        path.unlink(missing_ok=True)
        raise


def table_of(runs: Sequence[SweptRun]) -> dict[str, list[Any]]:
    """Return the columns by name: variables, what each run came to, and its numbers and last recorded texts."""
    variables = dict.fromkeys(key for run in runs for key in run.settings)
    columns: dict[str, list[Any]] = {key: [run.settings.get(key) for run in runs] for key in variables}
    for name in _FIXED:
        columns[name] = [_cell(name, getattr(run, name)) for run in runs]
    found = [_values(run) for run in runs]
    for name in dict.fromkeys(name for values in found for name in values):
        columns[name] = [values.get(name) for values in found]
    return columns


def _values(run: SweptRun) -> dict[str, float | int | str]:
    texts = {f"record.{name}.last": series.last for name, series in run.records.items() if isinstance(series.last, str)}
    found: dict[str, float | int | str] = {**run.measures(), **texts}
    found.pop("result", None)  # it has a column of its own
    return found


def _cell(name: str, value: Any) -> Any:
    if name == "result":
        return None if value is None else json.dumps(value, ensure_ascii=False)
    return str(value) if isinstance(value, Path) else value


def _write_parquet(columns: dict[str, list[Any]], path: Path) -> None:
    arrow = arrow_library()
    from pyarrow import parquet

    arrays = {}
    for name, cells in columns.items():
        if name in _WHOLE:
            arrays[name] = arrow.array(cells, arrow.int64() if name != "seed" else arrow.uint64())
        elif all(cell is None or isinstance(cell, int | float) for cell in cells) and any(c is not None for c in cells):
            arrays[name] = arrow.array([None if c is None else float(c) for c in cells], arrow.float64())
        else:
            arrays[name] = arrow.array([None if c is None else str(c) for c in cells], arrow.string())
    write: Any = parquet.write_table
    with path.open("xb") as file:
        write(arrow.table(arrays), file, compression="zstd")
