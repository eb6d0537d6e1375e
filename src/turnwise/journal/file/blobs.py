"""Long contents, stored once: hashed, compressed where that helps, and named by a number.

Why a number and not the hash: an index over hashes is written at random places, so that the cost of a commit grows
with the journal. Instead the writer remembers the hashes of what it has stored lately, which is where repetition is. A
content that comes again after more than that is stored again, which costs space and nothing else.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Final

from turnwise.core.withheld import Withheld
from turnwise.errors import JournalError
from turnwise.journal.file.errors import damaged, translated
from turnwise.journal.file.format import BLOB_BYTES_MAX, COMPRESS_BYTES_MIN, COMPRESS_LEVEL

KNOWN_MAX: Final = 131_072
"""Hashes that the writer remembers; about 200 bytes each."""

LEARNT_MAX: Final = 16_384
"""Hashes that a writer learns when it begins: each may cost the reading of a page."""

CACHE_CHARS_MAX: Final = 32 * 1024 * 1024
"""Characters of texts that a reader keeps."""

PREFETCH_ROWS_MAX: Final = 1_000
"""Neighbours that a reader fetches at once."""

LARGE_BYTES_MIN: Final = 1024 * 1024
"""Size of contents of which as few copies as possible are made on their way to the disk."""

TRIED_BYTES: Final = 64 * 1024
TRIED_SHARE_MAX: Final = 7 / 8
"""The beginning of a large content, and the share of it that must be left when it is compressed, for all to be."""

BlobRow = tuple[int, bytes, int, bytes]
"""A row of `blobs`: id, SHA-256 of the content, its size in bytes, and the content, as it is or compressed by zlib.

It is compressed exactly when `data` is shorter than `size`, which is the rule of SQLite's own archives. With size 0 and
a hash that is not that of nothing, the content was taken out (`turnwise redact`), and only its hash is left.
"""

HASH_OF_NOTHING: Final = hashlib.sha256(b"").digest()


class BlobWriter:
    """Gives contents their numbers, and collects the rows of those that are new."""

    def __init__(self, path: Path, *, known_max: int = KNOWN_MAX, after: int = 0) -> None:
        self._path = path
        self._known_max = known_max
        self._known: OrderedDict[bytes, int] = OrderedDict()
        self._next = after + 1
        self._rows: list[object] = []

    def restart(self, connection: sqlite3.Connection, after: int = 0) -> None:
        """Forget everything and learn anew from what is committed. Numbers begin behind `after`."""
        self._known.clear()
        self._rows = []
        select = "SELECT id, hash FROM blobs ORDER BY id DESC LIMIT ?"
        latest = connection.execute(select, (min(self._known_max, LEARNT_MAX),)).fetchall()
        self._next = max(latest[0][0] if latest else 0, after) + 1
        for number, content_hash in reversed(latest):
            self._known[content_hash] = number

    def number(self, content: bytes | memoryview) -> int:
        """The number of a content, which becomes a new row if it is not known."""
        content_hash = hashlib.sha256(content).digest()
        known = self._known
        number = known.get(content_hash)
        if number is not None:
            known.move_to_end(content_hash)
            return number
        size = len(content)
        if size > BLOB_BYTES_MAX:
            raise JournalError(
                f"a text or file of {size} bytes is larger than a journal holds.",
                where=str(self._path),
                expected=BLOB_BYTES_MAX,
                actual=size,
                hint=f"The bound is {BLOB_BYTES_MAX} bytes; let the agent keep less in its state and messages.",
            )
        data = content if size < COMPRESS_BYTES_MIN else _packed(content)
        number = self._next
        self._next = number + 1
        self._rows += (number, content_hash, size, data)
        known[content_hash] = number
        if len(known) > self._known_max:
            known.popitem(last=False)
        return number

    def take(self) -> list[object]:
        """The new rows since the last call, their columns one after the other."""
        rows, self._rows = self._rows, []
        return rows

    def statistics(self) -> dict[str, int]:
        return {"known": len(self._known), "known_max": self._known_max, "next": self._next}


def _packed(content: bytes | memoryview) -> bytes | memoryview:
    """A content as it is stored. A large one is compressed piece by piece, and only if its beginning gets smaller."""
    size = len(content)
    if size < LARGE_BYTES_MIN:
        packed = zlib.compress(content, COMPRESS_LEVEL)
        return packed if len(packed) < size else content
    view = memoryview(content)
    if len(zlib.compress(view[:TRIED_BYTES], COMPRESS_LEVEL)) > TRIED_BYTES * TRIED_SHARE_MAX:
        return content
    compressor = zlib.compressobj(COMPRESS_LEVEL)
    found = BytesIO()
    for start in range(0, size, TRIED_BYTES):
        found.write(compressor.compress(view[start : start + TRIED_BYTES]))
        if found.tell() >= size:
            return content
    found.write(compressor.flush())
    return found.getbuffer() if found.tell() < size else content


class BlobReader:
    """Contents by number, checked against their hashes; the latest texts stay in memory."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, cache_chars_max: int = CACHE_CHARS_MAX) -> None:
        self._connection = connection
        self._path = path
        self._cache: OrderedDict[int, str] = OrderedDict()
        self._cache_chars = 0
        self._cache_chars_max = cache_chars_max

    def content(self, number: int) -> bytes:
        """The content with this number. Raises JournalError if it is missing or not what its hash says."""
        rows = self._select("id = ?", number)
        if not rows:
            raise damaged(self._path, f"blob {number} is missing")
        if _is_withheld(*rows[0]):
            raise damaged(self._path, f"the content of blob {number} was taken out")
        return self._unpacked(*rows[0])

    def hashed(self, number: int) -> tuple[bytes, str]:
        """The content with this number, and its SHA-256 (hex), with which it was compared."""
        content = self.content(number)
        return content, hashlib.sha256(content).hexdigest()

    def text(self, number: int) -> str:
        """The content with this number as text."""
        cached = self._cache.get(number)
        if cached is not None:
            self._cache.move_to_end(number)
            return cached
        rows = self._select("id = ?", number)
        if not rows:
            raise damaged(self._path, f"blob {number} is missing")
        return self._keep(number, self._decoded(*rows[0]))

    def prefetch(self, numbers: Iterable[int]) -> None:
        """Read the texts with these numbers into memory, neighbours together; what is not there is left out."""
        wanted = sorted(set(numbers) - self._cache.keys())
        first = 0
        while first < len(wanted):
            last = first
            while (
                last + 1 < len(wanted) and wanted[last + 1] == wanted[last] + 1 and last + 1 - first < PREFETCH_ROWS_MAX
            ):
                last += 1
            if last > first:
                for row in self._select("id BETWEEN ? AND ?", wanted[first], wanted[last]):
                    self._keep(row[0], self._decoded(*row))
            first = last + 1

    def _select(self, where: str, *parameters: int) -> list[tuple[int, object, object, object]]:
        try:
            return self._connection.execute(
                f"SELECT id, hash, size, data FROM blobs WHERE {where}", parameters
            ).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise translated(error, self._path, writing=False) from error

    def _unpacked(self, number: int, content_hash: object, size: object, data: object) -> bytes:
        if type(content_hash) is not bytes or type(size) is not int or type(data) is not bytes:
            raise damaged(self._path, f"blob {number} has a column of a wrong type")
        if not len(data) <= size <= BLOB_BYTES_MAX:
            raise damaged(self._path, f"blob {number} has size {size}", actual=size)
        content = data
        if len(data) < size:
            try:
                content = zlib.decompressobj().decompress(data, size)
            except zlib.error as error:
                raise damaged(self._path, f"blob {number} cannot be unpacked: {error}") from error
        actual = hashlib.sha256(content).digest()
        if len(content) != size or actual != content_hash:
            raise damaged(self._path, f"blob {number} is not what its hash says", expected=content_hash, actual=actual)
        return content

    def _decoded(self, number: int, content_hash: object, size: object, data: object) -> str:
        if _is_withheld(number, content_hash, size, data):
            return Withheld(bytes(content_hash).hex())  # type: ignore[call-overload]  # it is bytes
        try:
            return self._unpacked(number, content_hash, size, data).decode()
        except UnicodeDecodeError as error:
            raise damaged(self._path, f"blob {number} is not UTF-8 text: {error}") from error

    def _keep(self, number: int, text: str) -> str:
        self._cache[number] = text
        self._cache_chars += len(text)
        while self._cache_chars > self._cache_chars_max:
            self._cache_chars -= len(self._cache.popitem(last=False)[1])
        return text


def _is_withheld(_: int, content_hash: object, size: object, data: object) -> bool:
    """Return whether a row holds a hash alone. Of nothing, that is the content itself."""
    return (
        size == 0 and data == b"" and type(content_hash) is bytes and len(content_hash) == 32
    ) and content_hash != HASH_OF_NOTHING
