"""A copy of a journal as one closed file, made by SQLite, also while a run is writing."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from turnwise.journal.file.connection import connect, create_file, detach, located, look, open_reading
from turnwise.journal.file.errors import reading, translated


def copy_journal(source: Path, target: Path, parents: Sequence[Path] = ()) -> None:
    """Copy everything that is committed into a new file, which has no log beside it, and of a fork its ancestors too.

    Pages are copied as they are, so the same journal gives the same bytes. A fork goes on referring to its parent;
    `parents` are files and folders in which to look for it.
    """
    file = located(source)
    look(file)
    create_file(target)
    try:
        with closing(open_reading(file, parents)) as reading_connection:
            try:
                with closing(connect(target.resolve(), "mode=rw")) as writing:
                    reading_connection.backup(writing)
                    writing.execute("PRAGMA journal_mode = DELETE")
                others = [row[2] for row in reading_connection.execute("PRAGMA database_list") if row[1] != "main"]
                if others:  # the copy of a fork is whole, since it lies elsewhere
                    detach(target.resolve(), [Path(other) for other in others if other])
            except sqlite3.Error as error:
                raise translated(error, target, writing=True) from error
        with reading(target):
            open_reading(target.resolve(), [*parents, file.parent]).close()
    except BaseException:
        target.unlink(missing_ok=True)
        raise
