"""The identity of a model: SHA-256 over the names and contents of the files that decide what it computes.

Hashing gigabytes at every start would cost seconds, so the digest of a large file is remembered under everything that
changes when the file does: its path, device, inode, size, and times of modification and change. A file that was changed
just now is not remembered, since a second change within the clock's grain would not show.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from turnwise.core.canonical import canonical
from turnwise.errors import ModelError
from turnwise.system.cache_file import CacheFile

CACHED_BYTES_MIN: Final = 4 * 1024 * 1024
CACHE_ENTRIES_MAX: Final = 512
SETTLED_NS: Final = 2_000_000_000
_FORMAT: Final = 1
_CACHE_FORMAT: Final = 2
_Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


def content_hash(files: Mapping[str, Path], *, cache: Path | None = None) -> str:
    """SHA-256 (hex) of the canonical manifest `{"format": 1, "files": {name: sha256}}`.

    `cache` is the folder for remembered digests (None: the user's). It is an aid: without it all
    files are hashed. Raises ModelError for a file that cannot be read.
    """
    remembered = CacheFile("model-hashes.json", cache, format=_CACHE_FORMAT, entries_max=CACHE_ENTRIES_MAX)
    new: dict[str, str] = {}
    digests = {name: _file_hash(path, remembered, new) for name, path in sorted(files.items())}
    if new:
        remembered.add(new)
    manifest = canonical({"format": _FORMAT, "files": digests})
    return hashlib.sha256(manifest.encode()).hexdigest()


def changed_hash(digest: str, changes: Mapping[str, int]) -> str:
    """Return the hash (hex) of a model whose files have the hash `digest`, and that `changes` make another one of."""
    if not changes:
        return digest
    return hashlib.sha256(canonical({"model": digest, "changes": dict(changes)}).encode()).hexdigest()


def _file_hash(path: Path, cache: CacheFile, new: dict[str, str]) -> str:
    """Return the digest of a file, from the cache if it is large; one that can be remembered goes into `new`."""
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            key = _key(path, before)
            if before.st_size >= CACHED_BYTES_MIN and (known := cache.get(key, _Digest)):
                return known
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            after = os.fstat(file.fileno())
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if _key(path, after) != key:
        raise ModelError(
            "changed while it was read", where=str(path), hint="Wait until the model is copied, then try again."
        )
    settled = time.time_ns() - max(after.st_mtime_ns, after.st_ctime_ns) > SETTLED_NS
    if after.st_size >= CACHED_BYTES_MIN and settled:
        new[key] = digest
    return digest


def _key(path: Path, status: os.stat_result) -> str:
    parts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return f"{path.resolve()} {' '.join(str(part) for part in parts)}"
