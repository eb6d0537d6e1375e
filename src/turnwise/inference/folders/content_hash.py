"""What a model is, in 64 hex digits: SHA-256 over the names and contents of the files that decide what it computes.

Hashing gigabytes at every start would cost seconds, so the digest of a large file is remembered under everything that
changes when the file does: its path, device, inode, size, and times of modification and change. A file that was changed
just now is not remembered, since a second change within the clock's grain would not show.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from turnwise.core.canonical import canonical
from turnwise.errors import ModelError
from turnwise.system.user_folders import cache_folder

CACHED_BYTES_MIN: Final = 4 * 1024 * 1024
CACHE_ENTRIES_MAX: Final = 512
SETTLED_NS: Final = 2_000_000_000
_FORMAT: Final = 1


def content_hash(files: Mapping[str, Path], *, cache: Path | None = None) -> str:
    """SHA-256 (hex) of the canonical manifest `{"format": 1, "files": {name: sha256}}`.

    `cache` is the folder for remembered digests (None: the user's). It is an aid: without it all
    files are hashed. Raises ModelError for a file that cannot be read.
    """
    remembered = _Cache((cache or cache_folder()) / "model-hashes.json")
    digests = {name: _file_hash(path, remembered) for name, path in sorted(files.items())}
    remembered.save()
    manifest = canonical({"format": _FORMAT, "files": digests})
    return hashlib.sha256(manifest.encode()).hexdigest()


def changed_hash(digest: str, changes: Mapping[str, int]) -> str:
    """The hash (hex) of a model whose files have the hash `digest`, and that `changes` make another one of."""
    if not changes:
        return digest
    return hashlib.sha256(canonical({"model": digest, "changes": dict(changes)}).encode()).hexdigest()


def _file_hash(path: Path, cache: _Cache) -> str:
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            key = _key(path, before)
            if before.st_size >= CACHED_BYTES_MIN and (known := cache.get(key)):
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
        cache.put(key, digest)
    return digest


def _key(path: Path, status: os.stat_result) -> str:
    parts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return f"{path.resolve()} {' '.join(str(part) for part in parts)}"


class _Cache:
    """Digests by key, in one small JSON file, replaced as a whole; the oldest entries go first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, str] | None = None
        self._changed = False

    def get(self, key: str) -> str | None:
        return self._load().get(key)

    def put(self, key: str, digest: str) -> None:
        self._load()[key] = digest
        self._changed = True

    def save(self) -> None:
        if not self._changed:
            return
        kept = dict(list(self._load().items())[-CACHE_ENTRIES_MAX:])
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):  # without a cache everything works, slower
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.write_text(canonical({"format": _FORMAT, "sha256": kept}), encoding="utf-8")
            draft.replace(self._path)

    def _load(self) -> dict[str, str]:
        if self._entries is None:
            self._entries = self._read()
        return self._entries

    def _read(self) -> dict[str, str]:
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        entries = stored.get("sha256") if isinstance(stored, dict) and stored.get("format") == _FORMAT else None
        if not isinstance(entries, dict):
            return {}
        return {
            key: value
            for key, value in entries.items()
            if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
        }
