"""Errors of Turnwise for those of SQLite: whose fault it is, and what to do."""

from __future__ import annotations

import errno
import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from turnwise.errors import EnvironmentFailure, InvariantError, JournalError, TurnwiseError

# SQLite's primary result codes (https://www.sqlite.org/rescode.html).
_BUSY: Final = 5
_LOCKED: Final = 6
_NOMEM: Final = 7
_READONLY: Final = 8
_IOERR: Final = 10
_CORRUPT: Final = 11
_FULL: Final = 13
_CANTOPEN: Final = 14
_NOTADB: Final = 26
_PERM: Final = 3

_FILES_OF_SQLITE: Final = 5
"""The file, the two beside it, their folder, and one to spare."""


def damaged(path: Path, what: str, *, expected: object = None, actual: object = None) -> JournalError:
    """An error for a journal whose content cannot be what Turnwise wrote."""
    return JournalError(
        f"the journal is damaged: {what}",
        where=str(path),
        expected=expected,
        actual=actual,
        hint="Nothing was changed. Take a copy from a backup; `sqlite3 FILE .recover` may save single rows.",
    )


def foreign(path: Path, what: str) -> JournalError:
    """An error for a file that is no journal of Turnwise."""
    return JournalError(
        f"this is not a journal of Turnwise: {what}",
        where=str(path),
        hint="Nothing was changed. Name a journal, or give a new name to write one.",
    )


def unwritable(path: Path, what: str, error: OSError, hint: str) -> TurnwiseError:
    """An error for a file that the system does not let be made or opened for writing."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentFailure(
            f"the disk is full: {error.strerror}. Nothing was written.",
            where=str(path),
            hint="Free some space, or give another path.",
        )
    return JournalError(f"{what}: {error.strerror}.", where=str(path), hint=hint)


def _kept(kept: int | None) -> str:
    if kept is None:
        return "Nothing was written."
    if kept == 0:
        return "No round was committed yet."
    return f"Everything up to round {kept} is committed and safe."


def _lack_of_descriptors() -> OSError | None:
    """Return the error of a process that may not open as many files more as SQLite needs; None if it may.

    SQLite says only that it could not open a file.
    """
    opened: list[int] = []
    try:
        for _ in range(_FILES_OF_SQLITE):
            opened.append(os.open(os.devnull, os.O_RDONLY))  # noqa: PERF401 - those before an error are closed
    except OSError as error:
        return error if error.errno in (errno.EMFILE, errno.ENFILE) else None
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return None


def translated(
    error: sqlite3.Error | UnicodeDecodeError, path: Path, *, writing: bool, kept: int | None = None
) -> TurnwiseError:
    """The error to raise for one of SQLite's. `kept` is the last round that is committed, None if not known.

    A UnicodeDecodeError is Python's way to say that SQLite's own message quotes bytes of the file that are no text.
    """
    code = getattr(error, "sqlite_errorcode", None)
    where = str(path)
    if code is None:  # raised by Python's module and not by SQLite, such as for TEXT that is not UTF-8
        if writing:
            return InvariantError(f"a value cannot be stored: {error}", where=where)
        return damaged(path, str(error))
    primary = code & 0xFF
    if primary == _FULL:
        return EnvironmentFailure(
            f"the disk is full. {_kept(kept)}",
            where=where,
            hint=f"Free some space, then go on with: turnwise resume {shlex.quote(where)}",
        )
    if primary in (_IOERR, _NOMEM):
        name = getattr(error, "sqlite_errorname", "")
        return EnvironmentFailure(
            f"the journal could not be {'written' if writing else 'read'}: {error} ({name}). {_kept(kept)}",
            where=where,
            hint=f"Look at the disk and its limits, then go on with: turnwise resume {shlex.quote(where)}",
        )
    if primary in (_BUSY, _LOCKED):
        return JournalError(
            f"the journal is locked by another program ({error}).",
            where=where,
            hint="Close the program that has it open, and try again.",
        )
    if primary == _CORRUPT:
        return damaged(path, str(error))
    if primary == _NOTADB:
        return foreign(path, str(error))
    lack = _lack_of_descriptors() if primary == _CANTOPEN else None
    if lack is not None:
        return EnvironmentFailure(
            f"the journal cannot be opened: {lack.strerror}. {_kept(kept) if writing else ''}".rstrip(),
            where=where,
            hint="Raise the limit of open files of this process: ulimit -n"
            if lack.errno == errno.EMFILE
            else "Raise the limit of open files of the system: sysctl fs.file-max",
        )
    if primary in (_READONLY, _PERM, _CANTOPEN):
        return JournalError(
            f"the journal cannot be {'written' if writing else 'opened'} here: {error}.",
            where=where,
            hint="Check the rights on the file and its folder, or copy the file, with the one that has -wal after its "
            "name, to a folder that you may write.",
        )
    if writing:
        return InvariantError(f"SQLite refused to write: {error}", where=where)
    return damaged(path, str(error))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as Turnwise's, as when a journal is read."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translated(error, path, writing=False) from error
