"""A small cache: values by key in one JSON file of the user's cache folder.

It is an aid: whatever cannot be read counts as absent, and whatever cannot be written is found out again next time. The
file is replaced as a whole, so that processes cannot mix theirs; the latest of them wins.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from turnwise.system.user_folders import cache_folder

FILE_BYTES_MAX: Final = 16 * 1024 * 1024
_UNREADABLE: Final = (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_T = TypeVar("_T")


class _Stored(msgspec.Struct):
    format: int
    entries: dict[str, msgspec.Raw]


class CacheFile:
    """Entries by key, the oldest first.

    - `name`: of the file
    - `folder`: in which it lies; None: the user's cache folder
    - `format`: a number that changes when the form of values does; a file of another counts as absent
    - `entries_max`: when there are more, the oldest go
    """

    def __init__(self, name: str, folder: Path | None = None, *, format: int, entries_max: int) -> None:  # noqa: A002
        self.path = (folder or cache_folder()) / name
        self._format = format
        self._entries_max = entries_max

    def get(self, key: str, form: type[_T]) -> _T | None:
        """Return the value under a key; None if there is none of this form."""
        raw = self._read().get(key)
        if raw is None:
            return None
        try:
            return msgspec.json.decode(raw, type=form)
        except _UNREADABLE:
            return None

    def add(self, values: Mapping[str, Any]) -> None:
        """Add values, or replace those of the same keys."""
        entries = self._read()
        for key, value in values.items():
            entries.pop(key, None)
            entries[key] = msgspec.Raw(msgspec.json.encode(value))
        kept = dict(list(entries.items())[-self._entries_max :])
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.write_bytes(msgspec.json.encode(_Stored(self._format, kept)))
            draft.replace(self.path)

    def _read(self) -> dict[str, msgspec.Raw]:
        try:
            with self.path.open("rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
            if len(data) > FILE_BYTES_MAX:
                return {}
            data.decode()  # a value that nobody asks for could hold anything else, and would be written again
            stored = msgspec.json.decode(data, type=_Stored)
        except _UNREADABLE:
            return {}
        return stored.entries if stored.format == self._format else {}
