"""What was found out about models on this machine, kept in the user's cache under everything that could change it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from turnwise.core.canonical import canonical
from turnwise.system.user_folders import cache_folder

CACHE_ENTRIES_MAX: Final = 256
_FILE: Final = "self-tests.json"

_T = TypeVar("_T", bound=msgspec.Struct)


def remembered(key: Mapping[str, object], form: type[_T], find: Callable[[], _T], *, cache: Path | None = None) -> _T:
    """What was found under `key` before; else it is found now, and remembered."""
    path = (cache or cache_folder()) / _FILE
    name = hashlib.sha256(canonical(dict(key)).encode()).hexdigest()
    entries = _read(path)
    if name in entries:
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(entries[name], type=form)
    found = find()
    entries = _read(path)
    entries[name] = msgspec.Raw(msgspec.json.encode(found))
    kept = dict(list(entries.items())[-CACHE_ENTRIES_MAX:])
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):  # without a cache everything works, slower
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.write_bytes(msgspec.json.encode(kept))
        draft.replace(path)
    return found


def _read(path: Path) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
    except (OSError, msgspec.DecodeError):
        return {}
