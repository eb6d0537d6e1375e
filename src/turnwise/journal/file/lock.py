"""One writer a journal: a lock of the operating system that a killed process cannot keep.

The lock lies on a file of its own beside the journal, never on the journal itself: closing any descriptor of a file
drops the POSIX locks that SQLite holds on it in the same process. The file tells who holds the lock, and is removed
when the lock is given back; what a killed process leaves of it does not matter. Its first line is the holder's process;
a second, if there is one, the address under which its telemetry is read.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from turnwise.errors import JournalError
from turnwise.journal.file.errors import unwritable

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def try_lock(descriptor: int) -> bool:
        """Take the exclusive lock on an open file; False if another has it."""
        # Byte 2**30 and not byte 0: a locked byte cannot be read by others, who want to know the holder.
        os.lseek(descriptor, 2**30, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        os.lseek(descriptor, 0, os.SEEK_SET)
        return True
else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Take the exclusive lock on an open file; False if another has it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


_NOTE_BYTES_MAX = 256
_ENDING = "-lock"


def lock_path(journal: Path) -> Path:
    """Return the file on which the lock of a journal lies."""
    return journal.with_name(journal.name + _ENDING)


def is_named(descriptor: int, path: Path) -> bool:
    """Return whether an open file is the one that a path names: it may have been removed, or replaced, meanwhile."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)


def was_left(journal: Path) -> bool:
    """Return whether a lock lies beside a journal whose holder is gone; False where that cannot be told.

    The lock itself is tried only where its holder is not among the processes here, so that nobody who is about to take
    it meets this look.
    """
    if sys.platform == "win32":  # pragma: no cover
        return False
    try:
        descriptor = os.open(lock_path(journal), os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        holder = _lines(descriptor)[0]
        return holder.isdecimal() and not _is_alive(int(holder)) and try_lock(descriptor)
    finally:
        os.close(descriptor)


def announced(journal: Path) -> str | None:
    """Return the address of the telemetry of the process that writes a journal, as it says; None if it says none.

    What a killed process has left says it, too: whoever goes there must look what is there.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK if sys.platform != "win32" else os.O_RDONLY
    try:
        descriptor = os.open(lock_path(journal), flags | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    try:
        return next(iter(_lines(descriptor)[1:]), None) or None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _lines(descriptor: int) -> list[str]:
    return os.read(descriptor, _NOTE_BYTES_MAX).decode("ascii", "replace").split("\n")


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


class WriterLock:
    """The exclusive right to write one journal. Closes twice without harm."""

    def __init__(self, journal: Path) -> None:
        """Take the lock at once, or raise JournalError that names the process that has it."""
        self.path = lock_path(journal)
        self._descriptor: int | None = None
        while True:
            descriptor = self._open(journal)
            if not try_lock(descriptor):
                owner = self._owner(descriptor)
                os.close(descriptor)
                raise JournalError(
                    f"the journal is in use by another run{owner}.",
                    where=str(journal),
                    hint="Wait until it ends or stop it; turnwise log can read it meanwhile.",
                )
            if is_named(descriptor, self.path):
                break
            os.close(descriptor)  # its holder removed it between our opening and locking
        self._descriptor = descriptor
        self._write(descriptor, str(os.getpid()))

    def announce(self, address: str) -> None:
        """Tell those who read beside this process where its telemetry is."""
        if self._descriptor is not None:
            self._write(self._descriptor, f"{os.getpid()}\n{address}")

    @staticmethod
    def _write(descriptor: int, note: str) -> None:
        with suppress(OSError):  # the note is for people; a disk that is full is told of where it matters
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, note.encode())

    def _open(self, journal: Path) -> int:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(self.path, flags, 0o600)
        except OSError as error:
            hint = f"A run needs to create {self.path.name} there. Check the rights, or copy the journal elsewhere."
            raise unwritable(journal, "the folder cannot be written", error, hint) from error
        return descriptor

    @staticmethod
    def _owner(descriptor: int) -> str:
        text = _lines(descriptor)[0]
        return f" (process {text})" if text.isdecimal() else ""

    def close(self) -> None:
        """Give the lock back."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if sys.platform == "win32":  # pragma: no cover
            os.close(descriptor)  # an open file cannot be removed there
            try:
                self.path.unlink(missing_ok=True)
            except PermissionError:
                return  # the next writer has opened it already, and will remove it
        else:
            self.path.unlink(missing_ok=True)  # while we hold it, so that nobody waits on a file without a name
            os.close(descriptor)
