"""SQLite connections for a journal: opened so that a file that is not ours is never changed.

A file is looked at before it is opened for good, and with `immutable`, which takes no lock, recovers nothing and makes
no file. It is never opened by other means than SQLite: closing a descriptor of our own would drop the locks of every
SQLite connection that this process has to the same file.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from turnwise.errors import JournalError
from turnwise.journal.file.errors import damaged, foreign, reading, translated, unwritable
from turnwise.journal.file.format import APPLICATION_ID, FORMAT, FORMAT_OLDEST
from turnwise.journal.file.lineage import absorb, ancestors, attach, attach_files
from turnwise.journal.file.lock import WriterLock
from turnwise.journal.file.schema import OPTIONAL, SCHEMA, UPGRADES
from turnwise.system.paths import StrPath

BUSY_MS: Final = 5_000
"""Milliseconds that a statement waits for a lock of another process.

Readers and the writer do not wait for each other; only the moments in which a journal is closed or recovered are
exclusive.
"""

WAL_CHECKPOINT_PAGES: Final = 4_000
"""Pages in the write-ahead log after which a commit copies them into the journal itself (16 MiB of 4 KiB pages)."""

STATISTICS: Final = frozenset({"sqlite_stat1", "sqlite_stat4"})
"""Tables that `ANALYZE` adds; harmless."""


SQLITE_CORRUPT: Final = 11
SQLITE_READONLY_ROLLBACK: Final = 8 | 3 << 8
"""SQLite's result codes: the file's structure is wrong; an unfinished transaction must be taken back first."""

LEFT_BESIDE: Final = ("-journal", "-wal", "-shm")
"""Endings of the files that SQLite keeps beside one that is written."""


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


def located(path: StrPath) -> Path:
    """The absolute path behind a name, links followed, so that one journal has one lock."""
    try:
        return Path(path).resolve()
    except (ValueError, OSError, RuntimeError) as error:  # a NUL inside; a name too long; a loop of links
        raise JournalError(
            f"not a usable file name: {error}.", where=str(path), hint="Give the path of a journal."
        ) from error


def look(path: Path) -> None:
    """Raise JournalError if there is certainly no journal at `path`. Changes nothing, and makes nothing beside it."""
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
    try:
        with closing(connect(path, "mode=ro&immutable=1")) as connection:
            application = _pragma(connection, "application_id")
            pages = _pragma(connection, "page_count")
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if _code(error) == SQLITE_CORRUPT:
            return  # a log beside it may say more: whoever opens it for good will see
        raise translated(error, path, writing=False) from error
    if pages == 0:
        raise _unfinished(path)
    if application != APPLICATION_ID:
        raise foreign(path, "it is an SQLite file of another program")


def open_reading(path: Path, moved: Sequence[Path] = ()) -> sqlite3.Connection:
    """A connection that cannot write, to a journal of this or an older format, and to those that it was forked from.

    `moved` are files, and folders, to look for these in, if they are not where they were.
    """
    connection = _open_one(path)
    try:
        with reading(path):
            lineage = ancestors(connection, path, moved, _look_and_open)
            if lineage:
                connection.execute("PRAGMA query_only = OFF")  # for the temporary views
                attach(connection, lineage)
                connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _look_and_open(path: Path) -> sqlite3.Connection:
    look(path)
    return _open_one(path)


def detach(path: Path, moved: Sequence[Path] = ()) -> int:
    """Copy into a fork what it has of its ancestors; return how many there were. All or nothing.

    The caller holds the writer's lock; no log lies beside the file.
    """
    try:
        with closing(connect(path, "mode=rw")) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            lineage = ancestors(connection, path, moved, _look_and_open)
            attach_files(connection, lineage)
            connection.execute("BEGIN IMMEDIATE")
            absorb(connection, lineage)
            connection.execute("COMMIT")
            return len(lineage)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translated(error, path, writing=True) from error


def tidy_and_close(connection: sqlite3.Connection) -> None:
    """Close a connection that wrote, and leave one file, as far as nobody reads."""
    tidy(connection)
    connection.close()


def _open_one(path: Path) -> sqlite3.Connection:
    try:
        return _open_reading(path)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if _code(error) != SQLITE_READONLY_ROLLBACK:
            raise translated(error, path, writing=False) from error
    # Its writer was killed in the moment of opening or closing. Only who may write can take that back.
    lock = WriterLock(path)
    try:
        with reading(path), closing(connect(path, "mode=rw")) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    finally:
        lock.close()
    with reading(path):
        return _open_reading(path)


def _open_reading(path: Path) -> sqlite3.Connection:
    connection = connect(path, "mode=ro")
    try:
        connection.execute("PRAGMA query_only = ON")
        _check_version(connection, path)
        _check_schema(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    if _pragma(connection, "page_count") == 0:
        raise _unfinished(path)
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise foreign(path, "it is an SQLite file of another program")
    version = _pragma(connection, "user_version")
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


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Raise JournalError unless the file contains exactly what its version contains."""
    version = _pragma(connection, "user_version")
    found: dict[object, object] = dict(connection.execute("SELECT name, sql FROM sqlite_master"))
    wanted = SCHEMA[version]
    for name, sql in wanted.items():
        if found.get(name) != sql:
            raise damaged(path, f"{name} is not as in format {version}", expected=sql, actual=found.get(name))
    optional = {name for name, sql in OPTIONAL[version].items() if found.get(name) == sql}
    strangers = sorted(str(name) for name in found.keys() - wanted.keys() - optional - STATISTICS)
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
            _use_log(connection, path)
            _bring_up(connection)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translated(error, path, writing=True) from error
    return connection


def _use_log(connection: sqlite3.Connection, path: Path) -> None:
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
    connection.execute("PRAGMA fullfsync = ON")  # macOS: else a sync ends in the drive's own memory
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}")


def _bring_up(connection: sqlite3.Connection) -> None:
    """Make a file of an older format one of the latest. All or nothing; no row changes."""
    version = _pragma(connection, "user_version")
    if version >= FORMAT:
        return
    connection.execute("BEGIN IMMEDIATE")
    for later in range(version + 1, FORMAT + 1):
        for sql in UPGRADES[later]:
            connection.execute(sql)
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def tidy(connection: sqlite3.Connection) -> None:
    """Bring everything into the one file and remove the log, unless a reader or a full disk prevents it.

    Nothing is lost then: the log stays beside the file, and whoever opens it for writing next tries again.
    """
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA busy_timeout = 100")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _code(error: Exception) -> int | None:
    return getattr(error, "sqlite_errorcode", None)


def _unfinished(path: Path) -> JournalError:
    return foreign(path, "it is empty, as left by a run that was killed while it began. Such a file may be deleted")


def create_file(path: Path) -> None:
    """Make an empty file that only its owner may read or write, from its first moment; never replaces one."""
    for left in (path.with_name(path.name + ending) for ending in LEFT_BESIDE):
        if not path.exists() and left.exists():
            raise JournalError(
                f"{left.name} is left of another journal of this name, and would be taken for a part of the new one.",
                where=str(path),
                hint=f"Give another name, or delete {left}",
            )
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError as error:
        raise JournalError(
            "the file exists already, and a journal is never overwritten.",
            where=str(path),
            hint=f"Give another name, delete the file, or go on with it: turnwise resume {shlex.quote(str(path))}",
        ) from error
    except OSError as error:
        hint = "Check that its folder exists and may be written, or give another path."
        raise unwritable(path, "the journal cannot be created", error, hint) from error
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
