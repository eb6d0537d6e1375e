"""A run for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from turnwise.api.places import places
from turnwise.exports.export import export as export_journal
from turnwise.system.paths import StrPath


def export(
    journal: StrPath,
    out: StrPath,
    to: str,
    *,
    tables: Sequence[str] = (),
    content: bool = False,
    parents: Sequence[StrPath] = (),
) -> list[Path]:
    """Write a run in a format of other programs: parquet, csv, jsonl, perfetto, inspect or otel; return the files.

    Tables go to a new folder, all of them or those that `tables` names. `content` puts texts into traces. `parents` are
    as those of `open`.
    """
    return export_journal(Path(journal), Path(out), to, tables=tables, content=content, parents=places(parents))
