"""Messages and answers on their way into a run: a file beside the journal, to which its owner adds, and the run reads.

Whoever sends or answers does not know whether the run is going on, and need not: what was added is on disk when the
call returns, and is taken by the run that goes on, or by the next that resumes, in order. The round that begins with it
commits, with itself, how far the file has been read. So each message comes once, whatever dies between.

The first line names the file by chance, and each other line is an answer or a message. A file that has been read is
replaced by one with another name, so that a run which stays up for years has a small one. It is removed with the end of
the run.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from turnwise.core.canonical import canonical
from turnwise.core.json_text import decode
from turnwise.core.question import ANSWER_BYTES_MAX
from turnwise.errors import EnvironmentFailure, UsageError
from turnwise.journal.file.box_position import BoxPosition
from turnwise.journal.file.lock import is_named, try_lock
from turnwise.world.limits import BODY_BYTES_MAX

NAME_CHARS_MAX: Final = 256
"""Characters of the name of who gets a message."""
LINE_BYTES_MAX: Final = 6 * (BODY_BYTES_MAX + NAME_CHARS_MAX) + 1_024
"""Bytes of a line: JSON may write a byte of text as six."""
BOX_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of the file, whose reading is behind then: nothing can be added."""
ENTRIES_MAX: Final = 1_000
"""Lines that are taken before one round."""
TAKEN_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bytes that are taken before one round; one line always is."""
RENEW_BYTES_MIN: Final = 1024 * 1024
"""Bytes that have been read of a file that is replaced."""
LOCK_S_MAX: Final = 10.0
"""Time that somebody who adds waits for others who do."""

_LOCK_LOOK_S: Final = 0.01
_NAME_BYTES_MAX: Final = 128
_ENDING: Final = "-outside"


@dataclass(frozen=True, slots=True)
class BoxedAnswer:
    """One answer in the file."""

    question: int
    """Number of the question."""
    asked: str
    """SHA-256 (hex) of the question that is meant."""
    value: Any
    """JSON value of the answer."""
    token: str
    """Random text that tells it from others."""


@dataclass(frozen=True, slots=True)
class BoxedMessage:
    """One message in the file."""

    to: str
    """Name of an agent or a group."""
    body: str
    """Text of the message."""
    token: str
    """Random text that tells it from others."""


def box_path(journal: Path) -> Path:
    """Return the file of what is on its way into a run."""
    return journal.with_name(journal.name + _ENDING)


def put_answer(journal: Path, question: int, asked: str, value: Any) -> bool:
    """Add an answer, which is on disk when this returns. False if it has no effect, since another was there before."""
    if len(canonical(value).encode()) > ANSWER_BYTES_MAX:
        raise UsageError(f"an answer has at most {ANSWER_BYTES_MAX:,} bytes", where="answer", hint="Shorten it.")
    token = _add(journal, {"question": question, "asked": asked, "value": value})
    answers = (entry for entry in _all(journal) if isinstance(entry, BoxedAnswer))
    first = next((entry for entry in answers if (entry.question, entry.asked) == (question, asked)), None)
    return first is None or first.token == token


def put_message(journal: Path, to: str, body: str) -> None:
    """Add a message, which is on disk when this returns."""
    size = len(body.encode())
    if size > BODY_BYTES_MAX:
        raise UsageError(
            f"the body has {size:,} bytes, at most {BODY_BYTES_MAX:,} are allowed in one message",
            where="send",
            expected=BODY_BYTES_MAX,
            actual=size,
            hint="Send it in several messages.",
        )
    _add(journal, {"to": to, "body": body})


def answers_given(journal: Path) -> dict[tuple[int, str], Any]:
    """Return the answers that count of those in the file, by number and digest of their questions: the first to each.

    Some may have been taken by rounds that are committed: their questions wait no more.
    """
    found: dict[tuple[int, str], Any] = {}
    for entry in _all(journal):
        if isinstance(entry, BoxedAnswer):
            found.setdefault((entry.question, entry.asked), entry.value)
    return found


def discard(journal: Path) -> None:
    """Remove a file that is left of a run whose journal is gone, before another begins under its name."""
    path = journal.resolve()
    box = box_path(path)
    if path.exists() or not box.exists():
        return
    try:
        box.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"what was sent to an earlier run of this name cannot be removed: {error.strerror}",
            where=str(box),
            hint="Remove it, or name another journal with --journal.",
        ) from error


class OutsideBox:
    """Reads what is on its way into one run, each line once."""

    def __init__(self, journal: Path, since: BoxPosition | None = None) -> None:
        """`since` is how far rounds that are committed have read."""
        self.path = box_path(journal)
        self._since = since
        self._name: str | None = None
        self._read = 0
        self._seen: tuple[int, int] | None = None

    @property
    def position(self) -> BoxPosition | None:
        """Place up to which it has been read; None if it was not there yet."""
        return None if self._name is None else BoxPosition(self._name, self._read)

    def take(self) -> list[BoxedAnswer | BoxedMessage]:
        """Return what has been added since the last call, or the first of it. What is no entry is passed over."""
        try:
            found = self.path.stat()
            if (found.st_ino, found.st_size) == self._seen:
                return []
            with self.path.open("rb") as file:
                now = os.fstat(file.fileno())
                entries, is_all = self._entries(file)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise EnvironmentFailure(
                f"what is sent to the run cannot be read: {error.strerror}",
                where=str(self.path),
                hint="Look at the disk, and at who may read there.",
            ) from error
        self._seen = (now.st_ino, now.st_size) if is_all else None
        return entries

    def _entries(self, file: BinaryIO) -> tuple[list[BoxedAnswer | BoxedMessage], bool]:
        """Read on; also return whether that was all that there is for now."""
        named = _name(file)
        if named is None:
            return [], False
        name, start = named
        if name != self._name:
            self._name, self._read = name, start
            if self._since is not None and self._since.box == name:
                self._read = max(start, self._since.position)
        file.seek(self._read)
        entries: list[BoxedAnswer | BoxedMessage] = []
        taken = 0
        while len(entries) < ENTRIES_MAX and taken < TAKEN_BYTES_MAX:
            line = file.readline(LINE_BYTES_MAX)
            if not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX:
                return entries, not line  # or it is still being written
            self._read += len(line)
            taken += len(line)
            entry = _entry(line)
            if entry is not None:
                entries.append(entry)
        return entries, False

    def renew(self, committed: BoxPosition | None) -> None:
        """Replace the file if much of it was read: by one with what was not. `committed` is what rounds on disk say.

        Only for a reader that has taken no more than that.
        """
        if committed is None or committed != self.position or committed.position < RENEW_BYTES_MIN:
            return
        with suppress(OSError), _locked(self.path, create=False) as descriptor:
            rest = os.pread(descriptor, BOX_BYTES_MAX, committed.position) if hasattr(os, "pread") else b""
            if committed.position + len(rest) != os.fstat(descriptor).st_size:
                return
            new = self.path.with_name(self.path.name + "-new")
            with new.open("wb") as file:
                new.chmod(0o600)
                file.write(_name_line() + rest)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
            _sync_folder(self.path.parent)

    def remove(self) -> None:
        """Remove the file: the run has ended."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def _add(journal: Path, entry: dict[str, Any]) -> str:
    """Add a line; return its token."""
    token = secrets.token_hex(8)
    line = canonical({**entry, "token": token}).encode() + b"\n"
    path = box_path(journal)
    try:
        with _locked(path, create=True) as descriptor:
            size = os.lseek(descriptor, 0, os.SEEK_END)
            if size + len(line) > BOX_BYTES_MAX:
                raise EnvironmentFailure(
                    f"there is no room for it: {size:,} bytes are on their way that no run has taken",
                    where=str(path),
                    expected=BOX_BYTES_MAX,
                    actual=size + len(line),
                    hint="Go on with the run (turnwise resume), which takes them, and send it again.",
                )
            _append(descriptor, size, line)
        _sync_folder(path.parent)
    except OSError as error:
        raise EnvironmentFailure(
            f"it cannot be written: {error.strerror}",
            where=str(path),
            hint="Look at the disk, and at who may write there.",
        ) from error
    return token


def _append(descriptor: int, size: int, line: bytes) -> None:
    """Write a line behind what is there, and wait for the disk. What cannot be written whole is taken back."""
    start = b""
    if size == 0:
        start = _name_line()
    else:
        os.lseek(descriptor, size - 1, os.SEEK_SET)
        if os.read(descriptor, 1) != b"\n":
            start = b"\n"  # somebody was killed in the middle of a line
    rest = memoryview(start + line)
    os.lseek(descriptor, size, os.SEEK_SET)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


@contextmanager
def _locked(path: Path, *, create: bool) -> Iterator[int]:
    """Open the file that has this name, and keep others from adding to it."""
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | (os.O_CREAT if create else 0)
    deadline_s = time.monotonic() + LOCK_S_MAX
    while True:
        descriptor = os.open(path, flags, 0o600)
        try:
            while not try_lock(descriptor):
                if time.monotonic() > deadline_s:
                    raise EnvironmentFailure(
                        f"others have been adding to it for {LOCK_S_MAX:g} s",
                        where=str(path),
                        hint="Look for a process that was stopped while it sent something, and try again.",
                    )
                time.sleep(_LOCK_LOOK_S)
            if is_named(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk, where a system has that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _name_line() -> bytes:
    return canonical({"box": secrets.token_hex(16)}).encode() + b"\n"


def _name(file: BinaryIO) -> tuple[str, int] | None:
    """Read the name of the file, and where its entries begin; None if it is still being written.

    A file that does not begin with a name has none, and entries from its beginning.
    """
    line = file.readline(_NAME_BYTES_MAX)
    if not line.endswith(b"\n") and len(line) < _NAME_BYTES_MAX:
        return None
    found = _decoded(line)
    name = found.get("box") if found.keys() == {"box"} else None
    return (name, len(line)) if isinstance(name, str) else ("", 0)


def _all(journal: Path) -> Iterator[BoxedAnswer | BoxedMessage]:
    """Yield everything that the file has."""
    box = OutsideBox(journal)
    while entries := box.take():
        yield from entries


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        text = line.decode()
        found = decode(text)
        canonical(found).encode()  # halves of surrogate pairs are no text
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _entry(line: bytes) -> BoxedAnswer | BoxedMessage | None:
    found = _decoded(line)
    token = found.get("token")
    if type(token) is not str:
        return None
    if found.keys() == {"question", "asked", "value", "token"}:
        question, asked = found["question"], found["asked"]
        if type(question) is int and type(asked) is str:
            return BoxedAnswer(question, asked, found["value"], token)
    if found.keys() == {"to", "body", "token"}:
        to, body = found["to"], found["body"]
        if type(to) is str and len(to) <= NAME_CHARS_MAX and type(body) is str and len(body.encode()) <= BODY_BYTES_MAX:
            return BoxedMessage(to, body, token)
    return None
