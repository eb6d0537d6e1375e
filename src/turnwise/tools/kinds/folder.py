"""One folder, opened once: files in it by relative names, and no way out of it.

Every part of a name is opened relative to the folder before it, and links are not followed, so nothing that is renamed
or replaced between a check and its use leads elsewhere. What is opened is asked again whether it is a file: devices,
pipes and sockets are refused.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from turnwise.visible_text import visible

PATH_CHARS_MAX: Final = 4096
PATH_PARTS_MAX: Final = 64
ENTRIES_MAX: Final = 100_000
"""Entries of one folder that are looked at."""

EntryKind = Literal["file", "folder", "link", "other"]
WriteMode = Literal["create", "replace", "append"]

SUPPORTED: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW") and hasattr(os, "O_DIRECTORY")
"""True where files can be opened relative to a folder."""

_FOLDER_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_FILE_FLAGS: Final = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe that took the file's place does not hold us
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)

_temporary_numbers = itertools.count()


class PathRefusal(Exception):
    """A name that leads out of the folder, or that nothing may be done with; the text is for the agent."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Entry of a folder."""

    name: str
    """Name in its folder."""
    kind: EntryKind
    """Kind; only files and folders can be opened."""
    size_bytes: int
    """Size of a file; 0 for others."""


def path_parts(path: str) -> tuple[str, ...]:
    """Return the parts of a relative path, none for the folder itself. Raises `PathRefusal`."""
    if len(path) > PATH_CHARS_MAX:
        raise PathRefusal(f"the path has {len(path):,} characters; at most {PATH_CHARS_MAX:,} are allowed")
    if visible(path) != path:
        raise PathRefusal(f"the path {visible(path)!r} has control characters")
    if path.startswith("/"):
        raise PathRefusal(
            f"the path {path!r} is absolute; paths are relative to the folder, without / at the beginning"
        )
    if "\\" in path:
        raise PathRefusal(f"the path {path!r} has a backslash; parts are separated by /")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise PathRefusal(f"the path {path!r} has `..`; nothing outside the folder can be reached")
    if len(parts) > PATH_PARTS_MAX:
        raise PathRefusal(f"the path has {len(parts)} parts; at most {PATH_PARTS_MAX} are allowed")
    return parts


class Folder:
    """A folder that stays the same one, whatever becomes of its name. Closes twice without harm."""

    def __init__(self, path: Path) -> None:
        """Open it, as the only name in which links are followed. Raises `OSError`."""
        if not SUPPORTED:
            raise OSError(f"{sys.platform} cannot open files relative to a folder")
        self._root: int | None = os.open(path, _FOLDER_FLAGS & ~os.O_NOFOLLOW)

    def close(self) -> None:
        if self._root is not None:
            os.close(self._root)
            self._root = None

    def fileno(self) -> int:
        """Return the descriptor of the folder."""
        if self._root is None:
            raise PathRefusal("the folder has been closed")
        return self._root

    def entries(self, parts: tuple[str, ...]) -> tuple[list[Entry], int]:
        """Return the entries of a folder in order of name, and how many are left out for their names.

        Left out are names that no path can have: with control characters, backslashes, or not in UTF-8.
        """
        with self._folder(parts) as folder, _said(parts):
            found: list[Entry] = []
            left_out = 0
            with os.scandir(folder) as entries:
                for count, entry in enumerate(entries):
                    if count >= ENTRIES_MAX:
                        raise PathRefusal(f"{_shown(parts)} has more than {ENTRIES_MAX:,} entries")
                    if visible(entry.name) != entry.name or "\\" in entry.name:
                        left_out += 1
                        continue
                    with contextlib.suppress(FileNotFoundError):  # it has gone meanwhile
                        found.append(_entry(entry.name, entry.stat(follow_symlinks=False)))
        return sorted(found, key=lambda entry: entry.name), left_out

    def entry(self, parts: tuple[str, ...]) -> Entry:
        """Return the entry at a path. Raises `PathRefusal`."""
        if not parts:
            return Entry(".", "folder", 0)
        with self._folder(parts[:-1]) as folder, _said(parts):
            return _entry(parts[-1], os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))

    def read(self, parts: tuple[str, ...], bytes_max: int) -> bytes:
        """Return the content of a file. Raises `PathRefusal`, also for one that is larger than `bytes_max`."""
        with self._file(parts) as file:
            size = os.fstat(file).st_size
            content = b"" if size > bytes_max else _read_to_end(file, bytes_max + 1)
        if max(size, len(content)) > bytes_max:
            raise PathRefusal(f"{_shown(parts)} has more than {bytes_max:,} bytes")
        return content

    def write(self, parts: tuple[str, ...], content: bytes, mode: WriteMode, bytes_max: int) -> int:
        """Write a file, whole or not at all, and return its size; folders on the way to it are made.

        A file that is replaced or appended to is written anew beside itself: other names of it (hard links) keep what
        they had. Raises `PathRefusal`.
        """
        if not parts:
            raise PathRefusal("the folder itself cannot be written; name a file in it")
        name = parts[-1]
        with self._folder(parts[:-1], make=True) as folder, _said(parts):
            try:
                before: os.stat_result | None = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                before = None
            if before is not None:
                if not stat.S_ISREG(before.st_mode):
                    raise PathRefusal(f"{_shown(parts)} is {_KIND_WORDS[_kind(before)]}; only files can be written")
                if mode == "create":
                    raise PathRefusal(f'{_shown(parts)} is there already; mode "replace" or "append" changes it')
            if mode == "append" and before is not None:
                content = self.read(parts, bytes_max) + content
            if len(content) > bytes_max:
                raise PathRefusal(
                    f"{_shown(parts)} would have {len(content):,} bytes; at most {bytes_max:,} are allowed"
                )
            if mode == "create":
                _write_new(folder, name, content, 0o666)
            else:
                _replace(folder, name, content, 0o666 if before is None else stat.S_IMODE(before.st_mode) & 0o777)
        return len(content)

    @contextlib.contextmanager
    def _folder(self, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
        """Open a folder part by part."""
        descriptor = os.dup(self.fileno())
        try:
            for index, part in enumerate(parts):
                so_far = parts[: index + 1]
                with _said(so_far):
                    if make:
                        with contextlib.suppress(FileExistsError):
                            os.mkdir(part, dir_fd=descriptor)
                    try:
                        below = os.open(part, _FOLDER_FLAGS, dir_fd=descriptor)
                    except OSError:
                        found = _entry(part, os.stat(part, dir_fd=descriptor, follow_symlinks=False))
                        if found.kind != "folder":
                            raise PathRefusal(f"{_shown(so_far)} is {_KIND_WORDS[found.kind]}, not a folder") from None
                        raise
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _file(self, parts: tuple[str, ...]) -> Iterator[int]:
        """Open a file for reading. It is looked at before and after: opening alone can set a device going."""
        if not parts:
            raise PathRefusal("the folder itself is not a file; name a file in it")
        with self._folder(parts[:-1]) as folder, _said(parts):
            _check_file(parts, os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
            descriptor = os.open(parts[-1], os.O_RDONLY | _FILE_FLAGS, dir_fd=folder)
            try:
                _check_file(parts, os.fstat(descriptor))
                yield descriptor
            finally:
                os.close(descriptor)


_KIND_WORDS: Final[dict[EntryKind, str]] = {
    "file": "a file",
    "folder": "a folder",
    "link": "a link, and links are not followed",
    "other": "a device, pipe or socket",
}


@contextlib.contextmanager
def _said(parts: tuple[str, ...]) -> Iterator[None]:
    """Make refusals of the system's errors: which path, and what the system says; no name outside the folder."""
    try:
        yield
    except FileNotFoundError:
        raise PathRefusal(f"there is no {_shown(parts)}") from None
    except OSError as error:
        raise PathRefusal(f"{_shown(parts)}: {error.strerror or error}") from None


def _shown(parts: tuple[str, ...]) -> str:
    return repr("/".join(parts)) if parts else "the folder"


def _kind(found: os.stat_result) -> EntryKind:
    if stat.S_ISREG(found.st_mode):
        return "file"
    if stat.S_ISDIR(found.st_mode):
        return "folder"
    return "link" if stat.S_ISLNK(found.st_mode) else "other"


def _entry(name: str, found: os.stat_result) -> Entry:
    kind = _kind(found)
    return Entry(name, kind, found.st_size if kind == "file" else 0)


def _check_file(parts: tuple[str, ...], found: os.stat_result) -> None:
    kind = _kind(found)
    if kind != "file":
        raise PathRefusal(f"{_shown(parts)} is {_KIND_WORDS[kind]}; only files can be read")


def _read_to_end(descriptor: int, bytes_max: int) -> bytes:
    parts = []
    while bytes_max > 0 and (part := os.read(descriptor, min(bytes_max, 1 << 20))):
        parts.append(part)
        bytes_max -= len(part)
    return b"".join(parts)


def _write_new(folder: int, name: str, content: bytes, mode: int) -> None:
    """Write a file that is not there yet; what could not be written whole is removed."""
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE_FLAGS, mode, dir_fd=folder)
    try:
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        os.unlink(name, dir_fd=folder)
        raise


def _replace(folder: int, name: str, content: bytes, mode: int) -> None:
    temporary = f".turnwise-{os.getpid()}-{next(_temporary_numbers)}.tmp"
    _write_new(folder, temporary, content, mode)
    try:
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise
