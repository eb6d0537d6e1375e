"""SQLite connections for a journal: opened so that a file that is not ours is never changed.

A file is looked at before it is opened for good, and with `immutable`, which takes no lock, recovers nothing and makes
no file. It is never opened by other means than SQLite: closing a descriptor of our own would drop the locks of every
SQLite connection that this process has to the same file.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from typing import Final

from turnwise.errors import JournalError
from turnwise.journal.faults import damaged, foreign, reading, translated
from turnwise.journal.format import APPLICATION_ID, FORMAT, FORMAT_OLDEST, SCHEMA

BUSY_MS: Final = 5_000
"""How long a statement waits for a lock of another process. Readers and the writer do not wait for each other; only the
moments in which a journal is closed or recovered are exclusive."""

WAL_CHECKPOINT_PAGES: Final = 4_000
"""Pages in the write-ahead log after which a commit copies them into the journal itself (16 MiB of 4 KiB pages)."""

STATISTICS: Final = frozenset({"sqlite_stat1", "sqlite_stat4"})
"""Tables that `ANALYZE` adds; harmless."""


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection in SQLite's own transaction mode. `mode` is the URI's query, such as `mode=ro`."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?{mode}",
        uri=True,
        isolation_level=None,
        timeout=BUSY_MS / 1000,
        check_same_thread=False,
        cached_statements=64,
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA mmap_size = 0")
    return connection


def located(path: str | os.PathLike[str]) -> Path:
    """The absolute path behind a name, links followed, so that one journal has one lock."""
    try:
        return Path(path).resolve()
    except (ValueError, OSError, RuntimeError) as error:  # a NUL inside; a name too long; a loop of links
        raise JournalError(
            f"not a usable file name: {error}.", where=str(path), hint="Give the path of a journal."
        ) from error


def look(path: Path) -> int:
    """The format version of the journal at `path`; JournalError if there is none that can be read. Changes nothing."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise JournalError("there is no such journal.", where=str(path), hint="Check the path.") from error
    except (OSError, ValueError) as error:
        raise JournalError(
            f"the journal cannot be opened: {error}.", where=str(path), hint="Check the path and the rights on it."
        ) from error
    if stat.S_ISDIR(mode):
        raise JournalError("this is a folder, not a journal.", where=str(path), hint="Name a file inside it.")
    if not stat.S_ISREG(mode):
        raise JournalError("this is not an ordinary file.", where=str(path), hint="Name a journal.")
    with reading(path):
        connection = connect(path, "mode=ro&immutable=1")
        try:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
        finally:
            connection.close()
    if pages == 0:
        raise foreign(path, "the file is empty. If a run was stopped while it began, delete the file")
    if application != APPLICATION_ID:
        raise foreign(path, "it is an SQLite file of another program")
    if version > FORMAT:
        raise JournalError(
            f"the journal has format {version}, and this Turnwise reads formats up to {FORMAT}.",
            where=str(path),
            expected=FORMAT,
            actual=version,
            hint="Nothing was changed. Upgrade Turnwise: pip install --upgrade turnwise",
        )
    if version < FORMAT_OLDEST:
        raise damaged(path, f"its format version is {version}", expected=FORMAT, actual=version)
    return int(version)


def open_reading(path: Path, version: int) -> sqlite3.Connection:
    """A connection that cannot write, to a file whose tables are exactly those of its version."""
    with reading(path):
        connection = connect(path, "mode=ro")
        try:
            connection.execute("PRAGMA query_only = ON")
            check_schema(connection, path, version)
        except BaseException:
            connection.close()
            raise
    return connection


def check_schema(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Raise JournalError unless the file contains exactly what its version contains."""
    found: dict[object, object] = dict(connection.execute("SELECT name, sql FROM sqlite_master"))
    wanted = SCHEMA[version]
    for name, sql in wanted.items():
        if found.get(name) != sql:
            raise damaged(path, f"its table {name} is not as in format {version}", expected=sql, actual=found.get(name))
    strangers = sorted(str(name) for name in found.keys() - wanted.keys() - STATISTICS)
    if strangers:
        raise JournalError(
            f"another program has added to the journal: {', '.join(strangers)}.",
            where=str(path),
            actual=strangers,
            hint="Remove what was added; keep it in a file of its own, to be used with ATTACH.",
        )


def open_writing(path: Path) -> sqlite3.Connection:
    """A connection that writes durably: write-ahead log, one fsync a commit. The caller holds the writer's lock."""
    try:
        connection = connect(path, "mode=rw")
        try:
            use_log(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise translated(error, path, writing=True) from error
    return connection


def use_log(connection: sqlite3.Connection, path: Path) -> None:
    """Switch to the write-ahead log."""
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise JournalError(
            "the file system here cannot hold a journal that is written (no shared memory for SQLite's log).",
            where=str(path),
            expected="wal",
            actual=mode,
            hint="Put the journal on a local disk.",
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}")


def tidy(connection: sqlite3.Connection) -> bool:
    """Bring everything into the one file and remove the log; False if a reader or a full disk prevents it.

    Nothing is lost then: the log stays beside the file, and whoever opens it for writing next tries again.
    """
    try:
        connection.execute("PRAGMA busy_timeout = 100")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return bool(connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "delete")
    except sqlite3.Error:
        return False


def create_file(path: Path) -> None:
    """Make an empty file that only its owner may read or write, from its first moment; never replaces one."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError as error:
        raise JournalError(
            "the file exists already, and a journal is never overwritten.",
            where=str(path),
            hint=f"Give another name, delete the file, or go on with it: turnwise resume {path}",
        ) from error
    except OSError as error:
        raise JournalError(
            f"the journal cannot be created: {error.strerror}.",
            where=str(path),
            hint="Check that its folder exists and may be written, or give another path (--journal).",
        ) from error
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, 0o600)  # an umask may have taken the owner's own rights
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
