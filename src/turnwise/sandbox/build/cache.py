"""The cache of compiled code: private to the user, authenticated, safe with many processes at once.

Compiled code is machine code that workers run, so nothing is loaded that this cache did not write itself: every entry
names its artefact by digest and is signed with a random key that lies beside it, readable by the user alone. What does
not verify is treated as absent, compiled again and replaced. Never taken from a journal or a bundle.

    <root>/key                      32 random bytes
    <root>/<engine>/<name>.json     an entry: kind, digest of the artefact, facts, signature
    <root>/<engine>/<digest>.bin    an artefact, named by its content, so that writers cannot mix theirs
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from turnwise.errors import EnvironmentFailure
from turnwise.system.user_folders import cache_folder

KEY_BYTES = 32
FOLDER_CHARS = 32
CACHE_BYTES_MAX = 2 * 1024**3
"""Artefacts beyond this are removed, the one that was not used for longest first."""

ENTRY_BYTES_MAX = 64 * 1024
HINT = "Set TURNWISE_CACHE to a folder that belongs to you and that nobody else can write to."


class CacheEntry(msgspec.Struct, frozen=True):
    """Entry of an artefact in the cache.

    `digest`: SHA-256 of the artefact, hex. `facts`: what its maker notes about it. `signature`: over the entry's name
    and both others, with the cache's key.
    """

    digest: str
    facts: dict[str, str]
    signature: str


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file of the cache whose content has been verified: its `path`, and its maker's `facts`."""

    path: Path
    facts: Mapping[str, str]


class Cache:
    """Cache of the artefacts of one engine. Makes its folders; raises `EnvironmentFailure` if they are not private."""

    def __init__(self, engine: str, root: Path | None = None, *, bytes_max: int = CACHE_BYTES_MAX) -> None:
        self.root = root or cache_folder()
        self.folder = self.root / engine[:FOLDER_CHARS]
        self._bytes_max = bytes_max
        try:
            self.root.mkdir(parents=True, mode=0o700, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            for folder in (self.root, self.folder):
                _check_private(folder)
            self._key = _read_or_make_key(self.root / "key")
        except OSError as error:
            raise _failure(self.root, error) from error

    def find(self, name: str) -> Artefact | None:
        """Return the artefact called `name` (letters, digits, `-`), or None if there is none that verifies whole."""
        entry = self._read_entry(name)
        if entry is None:
            return None
        path = self._artefact_path(entry.digest)
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None
        if digest != entry.digest:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return Artefact(path, entry.facts)

    def store(self, name: str, content: bytes, facts: Mapping[str, str]) -> Artefact:
        """Write an artefact and its entry, each whole or not at all. Raises `EnvironmentFailure`."""
        digest = hashlib.sha256(content).hexdigest()
        entry = CacheEntry(digest, dict(facts), self._sign(name, digest, facts))
        path = self._artefact_path(digest)
        try:
            self._make_room(len(content), keep=path)
            _write(path, content)
            _write(self.folder / f"{name}.json", msgspec.json.encode(entry))
        except OSError as error:
            raise _failure(self.folder, error) from error
        return Artefact(path, entry.facts)

    def _read_entry(self, name: str) -> CacheEntry | None:
        """Return the entry of `name`, or None if there is none that this cache has signed, whatever its bytes are."""
        try:
            entry = msgspec.json.decode(_read(self.folder / f"{name}.json", ENTRY_BYTES_MAX), type=CacheEntry)
            signature = self._sign(name, entry.digest, entry.facts)
        except (OSError, ValueError, RecursionError):  # ValueError: of msgspec, and of bytes that are no UTF-8
            return None
        return entry if hmac.compare_digest(entry.signature.encode(), signature.encode()) else None

    def _artefact_path(self, digest: str) -> Path:
        return self.folder / f"{digest}.bin"

    def _sign(self, name: str, digest: str, facts: Mapping[str, str]) -> str:
        text = msgspec.json.encode([name, digest, sorted(facts.items())])
        return hmac.new(self._key, text, "sha256").hexdigest()

    def _make_room(self, needed_bytes: int, keep: Path) -> None:
        """Remove the artefacts, of any engine, that were not used for longest, until `needed_bytes` fit."""
        artefacts = []
        for path in self.root.glob("?" * FOLDER_CHARS + "/*.bin"):
            with contextlib.suppress(OSError):
                found = path.stat()
                artefacts.append((found.st_mtime_ns, found.st_size, path))
        total = needed_bytes + sum(size for _, size, _ in artefacts)
        for _, size, path in sorted(artefacts):
            if total <= self._bytes_max:
                return
            if path != keep:
                with contextlib.suppress(OSError):
                    path.unlink()
                    total -= size


def _failure(path: Path, error: OSError) -> EnvironmentFailure:
    return EnvironmentFailure(f"the cache of compiled code cannot be used: {error}", where=str(path), hint=HINT)


def _check_private(folder: Path) -> None:
    """Refuse a folder into which somebody else could put machine code."""
    if sys.platform == "win32":
        return
    found = folder.stat()
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
        raise PermissionError(f"{folder} belongs to somebody else or can be written by others")


def _read_or_make_key(path: Path) -> bytes:
    """Return the key, made if there is none. One that is damaged counts as none: what it signed is compiled again."""
    damaged = False
    with contextlib.suppress(FileNotFoundError):
        key = _read(path, KEY_BYTES + 1)
        if len(key) == KEY_BYTES:
            return key
        damaged = True
    temporary = _write_temporary(path.parent, secrets.token_bytes(KEY_BYTES))
    try:
        if damaged:
            temporary.replace(path)
        else:
            _place_if_absent(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    key = _read(path, KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise OSError(f"{path} cannot be written")
    return key


def _place_if_absent(temporary: Path, path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        try:
            os.link(temporary, path)  # unlike a renaming, never over the key of another process
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            temporary.rename(path)


def _read(path: Path, bytes_max: int) -> bytes:
    with path.open("rb") as file:
        return file.read(bytes_max)


def _write(path: Path, content: bytes) -> None:
    temporary = _write_temporary(path.parent, content)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_temporary(folder: Path, content: bytes) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="new-", dir=folder)  # made with mode 0600
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
