"""A ZIP file of one exact form: each byte follows from the names and contents of its members.

Every ZIP program reads it. Members are stored, not compressed, so that the bytes do not depend on a compressor and
nothing can unpack to more than the file has; there are no times, attributes, comments or gaps, so there are no links
and no place for a byte that nobody compares. Sizes stand in ZIP64 fields, whatever they are: one form for all.
"""

from __future__ import annotations

import hashlib
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from typing import IO, Final

from turnwise.evidence.errors import broken

MEMBERS_MAX: Final = 100_000
NAME_BYTES_MAX: Final = 1_000
CHUNK_BYTES: Final = 1024 * 1024

SUFFIX: Final = ".bundle"
MAGIC: Final = b"PK\x03\x04"
_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_LOCAL_SIZES: Final = struct.Struct("<HHQQ")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_CENTRAL_SIZES: Final = struct.Struct("<HHQQQ")
_END_64: Final = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR: Final = struct.Struct("<4sIQI")
_END: Final = struct.Struct("<4sHHHHIIH")
_VERSION: Final = 45
_UTF_8: Final = 0x0800
_DATE: Final = 0x0021
"""1980-01-01, the first day that ZIP knows."""
_IN_ZIP64: Final = 0xFFFFFFFF
_IN_ZIP64_SHORT: Final = 0xFFFF
_LAST: Final = _END.pack(b"PK\x05\x06", 0, 0, _IN_ZIP64_SHORT, _IN_ZIP64_SHORT, _IN_ZIP64, _IN_ZIP64, 0)
"""The last bytes of every archive."""
_JOURNAL_MAGIC: Final = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive."""

    name: str
    """Path within the archive, with `/` between folders."""
    size: int
    """Bytes of its content."""
    crc: int
    """CRC-32 of its content."""
    sha256: str
    """SHA-256 (hex) of its content."""
    offset: int
    """Place of its header in the file."""

    @property
    def start(self) -> int:
        """Place of its content in the file."""
        return self.offset + _LOCAL.size + len(self.name.encode()) + _LOCAL_SIZES.size


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes to be put into an archive, from memory or from a file, with their digests."""

    name: str
    """Path within the archive."""
    source: bytes | Path
    """The bytes, or the file that holds them."""
    size: int
    """Number of bytes."""
    crc: int
    """CRC-32 of them."""
    sha256: str
    """SHA-256 (hex) of them."""


def is_archive(path: Path) -> bool:
    """Return whether a file is to be read as an archive, whether or not it holds.

    It is, if it begins or ends as one or has its name, unless it is a journal: a damaged archive is to be called that.
    """
    try:
        with path.open("rb") as file:
            first = file.read(len(_JOURNAL_MAGIC))
            file.seek(max(0, file.seek(0, SEEK_END) - _END.size))
            last = file.read()
    except OSError:
        return False
    if first == _JOURNAL_MAGIC:
        return False
    return first.startswith(MAGIC) or last == _LAST or path.suffix == SUFFIX


def name_problem(name: str) -> str | None:
    """Say why a name cannot be a member's; None if it can. It must mean the same file on every system."""
    if len(name.encode(errors="surrogatepass")) > NAME_BYTES_MAX:
        return f"it is longer than {NAME_BYTES_MAX} bytes"
    if any(not character.isprintable() or character in '\\:*?"<>|' for character in name):
        return "it has a character that not every system has in names"
    if any(part in ("", ".", "..") or part.endswith((".", " ")) for part in name.split("/")):
        return "it is not a plain path inside the bundle"
    return None


def content_of(name: str, source: bytes | Path) -> Content:
    """Bytes or a file with its digests, as a member. Raises ValueError for a name that cannot be a member's."""
    problem = name_problem(name)
    if problem is not None:
        raise ValueError(f"{name!r} cannot be the name of a member: {problem}")
    sha256, crc, size = hashlib.sha256(), 0, 0
    for chunk in _chunks_of(source):
        sha256.update(chunk)
        crc = zlib.crc32(chunk, crc)
        size += len(chunk)
    return Content(name, source, size, crc, sha256.hexdigest())


def write_archive(file: IO[bytes], contents: Iterable[Content]) -> None:
    """Write an archive. Raises ValueError if a file is no longer what its digest says."""
    members: list[Member] = []
    offset = 0
    for content in contents:
        member = Member(content.name, content.size, content.crc, content.sha256, offset)
        file.write(_local_header(member))
        sha256 = hashlib.sha256()
        for chunk in _chunks_of(content.source):
            sha256.update(chunk)
            file.write(chunk)
        if sha256.hexdigest() != content.sha256:
            raise ValueError(f"{content.name} was changed while it was read")
        members.append(member)
        offset = member.start + member.size
    file.write(_directory(members, offset))


def read_archive(
    file: IO[bytes], path: Path, take: Callable[[str, int], Callable[[bytes], object] | None]
) -> list[Member]:
    """Read an archive to its last byte, and return its members. Raises EvidenceError for the first wrong byte.

    `take` is told each member's name and size before its content, and returns what gets the content in pieces, or None.
    """
    members: list[Member] = []
    names: set[str] = set()
    offset = 0
    while (start := file.read(4)) == MAGIC:
        if len(members) >= MEMBERS_MAX:
            raise broken(path, f"there are more than {MEMBERS_MAX:,} members")
        member = _read_member(file, path, offset, take)
        unique = unicodedata.normalize("NFC", member.name).casefold()
        if unique in names:
            raise broken(path, f"two members are called {member.name}")
        names.add(unique)
        members.append(member)
        offset = member.start + member.size
    if not members:
        raise broken(path, "its first bytes are not those of a bundle")
    expected = _directory(members, offset)
    actual = start + file.read(len(expected) - len(start) + 1)
    if actual != expected:
        at = next((i for i, (a, b) in enumerate(zip(actual, expected, strict=False)) if a != b), len(expected))
        raise broken(
            path, f"byte {offset + at:,}, behind {members[-1].name}, is not that of the directory of its members"
        )
    return members


def read_member(path: Path, member: Member) -> Iterator[bytes]:
    """The content of a member that was read before, in pieces."""
    with path.open("rb") as file:
        file.seek(member.start)
        left = member.size
        while left:
            chunk = file.read(min(left, CHUNK_BYTES))
            if not chunk:
                raise broken(path, f"{member.name} was cut off while it was read")
            left -= len(chunk)
            yield chunk


def _read_member(
    file: IO[bytes], path: Path, offset: int, take: Callable[[str, int], Callable[[bytes], object] | None]
) -> Member:
    header = file.read(_LOCAL.size - 4)
    if len(header) < _LOCAL.size - 4:
        raise broken(path, f"it ends in the header at byte {offset:,}")
    _, _, _, _, _, _, crc, _, _, name_size, _ = _LOCAL.unpack(MAGIC + header)
    raw = file.read(min(name_size, NAME_BYTES_MAX))
    sizes = file.read(_LOCAL_SIZES.size)
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise broken(path, f"the name at byte {offset + _LOCAL.size:,} is not UTF-8") from None
    if (problem := name_problem(name)) is not None:
        raise broken(path, f"a member is called {name!r}: {problem}")
    if len(sizes) < _LOCAL_SIZES.size:
        raise broken(path, f"it ends in the header of {name}")
    size = _LOCAL_SIZES.unpack(sizes)[2]
    member = Member(name, size, crc, "", offset)
    if MAGIC + header + raw + sizes != _local_header(member):
        raise broken(path, f"the header of {name} at byte {offset:,} is not as it was written")
    consume = take(name, size)
    sha256, found, left = hashlib.sha256(), 0, size
    while left:
        chunk = file.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise broken(path, f"{name} is cut off", expected=size, actual=size - left)
        left -= len(chunk)
        sha256.update(chunk)
        found = zlib.crc32(chunk, found)
        if consume is not None:
            consume(chunk)
    if found != crc:
        said, is_ = f"{crc:08x}", f"{found:08x}"
        raise broken(path, f"the content of {name} is not what its checksum says", expected=said, actual=is_)
    return Member(name, size, crc, sha256.hexdigest(), offset)


def _chunks_of(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _local_header(member: Member) -> bytes:
    name = member.name.encode()
    fixed = _LOCAL.pack(
        MAGIC, _VERSION, _UTF_8, 0, 0, _DATE, member.crc, _IN_ZIP64, _IN_ZIP64, len(name), _LOCAL_SIZES.size
    )
    return fixed + name + _LOCAL_SIZES.pack(1, 16, member.size, member.size)


def _directory(members: list[Member], offset: int) -> bytes:
    """The bytes behind the last member: the central directory and its ends."""
    parts = []
    for member in members:
        name = member.name.encode()
        sizes = _CENTRAL_SIZES.pack(1, 24, member.size, member.size, member.offset)
        parts.append(
            _CENTRAL.pack(
                b"PK\x01\x02", _VERSION, _VERSION, _UTF_8, 0, 0, _DATE, member.crc, _IN_ZIP64, _IN_ZIP64, len(name),
                len(sizes), 0, 0, 0, 0, _IN_ZIP64,
            )
        )  # fmt: skip
        parts += (name, sizes)
    directory = b"".join(parts)
    count, size = len(members), len(directory)
    return (
        directory
        + _END_64.pack(b"PK\x06\x06", 44, _VERSION, _VERSION, 0, 0, count, count, size, offset)
        + _LOCATOR.pack(b"PK\x06\x07", 0, offset + size, 1)
        + _LAST
    )
