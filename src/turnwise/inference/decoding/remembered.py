"""Memory of trials: what was found out about models on this machine, under everything that could change it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from turnwise.core.canonical import canonical
from turnwise.system.cache_file import CacheFile

ENTRIES_MAX: Final = 256
_FORMAT: Final = 1

_T = TypeVar("_T", bound=msgspec.Struct)


def remembered(
    key: Mapping[str, object],
    form: type[_T],
    find: Callable[[], _T],
    *,
    keep: Callable[[_T], bool] | None = None,
    cache: Path | None = None,
) -> _T:
    """Return what was found under `key` before; else find it, and remember it if `keep` says so of it.

    `cache` None: the user's folder.
    """
    file = CacheFile("self-tests.json", cache, format=_FORMAT, entries_max=ENTRIES_MAX)
    name = hashlib.sha256(canonical(dict(key)).encode()).hexdigest()
    known = file.get(name, form)
    if known is not None:
        return known
    found = find()
    if keep is None or keep(found):
        file.add({name: found})
    return found
