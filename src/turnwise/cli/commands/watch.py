"""`turnwise watch`: the essential part of the monitor in a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.commands.options import Parents
from turnwise.cli.errors import DONE
from turnwise.errors import UsageError


def watch(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="A journal or a bundle.")],
    parent: Parents = None,
) -> int:
    """Show a run in the terminal, while it is played or afterwards, until q.

    Rounds with who moved and failed, what was said last, and what is live: who moves now, and texts as models write
    them. It can only read. The page of "turnwise monitor" shows more.
    """
    try:
        from turnwise.monitor.terminal.app import WatchApp
    except ImportError as error:
        hint = 'Install it: pip install "turnwise[watch]"'
        raise UsageError(f"turnwise watch is not installed ({error.name} is missing)", hint=hint) from None
    from turnwise.monitor.reader import RunReader
    from turnwise.monitor.shown import ShownRuns

    if journal.is_dir():
        hint = "Name one journal; turnwise runs lists them, and turnwise monitor shows a folder."
        raise UsageError("this is a folder", where=str(journal), hint=hint)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("turnwise watch needs a terminal", hint="turnwise log prints a run as text.")
    ShownRuns(journal).close()
    reader = RunReader(journal, parent or ())
    reader.check()
    WatchApp(reader).run()
    return DONE
