"""`turnwise export`: a run for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.commands.options import JournalOrBundle, Json, Parents
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output
from turnwise.cli.text import json_text


def export(
    journal: JournalOrBundle,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="FORMAT", help="parquet, csv, jsonl, perfetto, inspect or otel.", show_default=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="PATH", help="The new file, for tables the new folder.", show_default=False
        ),
    ],
    table: Annotated[
        list[str] | None, typer.Option("--table", metavar="NAME", help="Only this table. May be repeated.")
    ] = None,
    content: Annotated[
        bool, typer.Option("--content", help="Of perfetto and otel: with texts; else names and numbers only.")
    ] = False,
    parent: Parents = None,
    json: Json = False,
) -> int:
    """Write a run in a format of other programs.

    parquet, csv, jsonl: its tables, a file each in a new folder. perfetto: a trace with a track for each agent, for
    ui.perfetto.dev. inspect: an evaluation log (.eval) for Inspect. otel: OpenTelemetry spans as OTLP/JSON, whose ids
    follow from the head.
    """
    import turnwise
    from turnwise.evidence.opened import journal_of

    with journal_of(journal) as file:
        files = turnwise.export(file, out, to, tables=table or (), content=content, parents=parent or ())
    output = Output.err() if json else Output.out()
    for path in files:
        output.line(str(path))
    if json:
        value = {"journal": str(journal), "format": to, "files": [str(path) for path in files]}
        Output.out().write(json_text(value) + "\n")
    return DONE
