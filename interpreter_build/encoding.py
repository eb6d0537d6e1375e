"""The binary format of WebAssembly: numbers of variable length, names, vectors and sections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class UnexpectedForm(Exception):
    """A form of component or module that is not the one that componentize-py writes, so merging it is not known."""


class Reader:
    """Reader of a part of a binary, from `position` on."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    def byte(self) -> int:
        """Read one byte."""
        value = self.data[self.position]
        self.position += 1
        return value

    def unsigned(self) -> int:
        """Read an unsigned number."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def signed(self) -> int:
        """Read a signed number."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value - (1 << shift) if byte & 0x40 else value

    def take(self, size: int) -> bytes:
        """Read `size` bytes."""
        start, self.position = self.position, self.position + size
        return self.data[start : self.position]

    def name(self) -> str:
        """Read a name."""
        return self.take(self.unsigned()).decode()

    def since(self, start: int) -> bytes:
        """Return what was read from `start` on."""
        return self.data[start : self.position]

    def counted(self) -> Iterator[int]:
        """Yield the numbers of a vector's elements; the caller reads each element."""
        yield from range(self.unsigned())


def sections(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (kind, begin, end) of the sections of a module or component, whose header is behind."""
    reader = Reader(data, position)
    while reader.position < end:
        kind = reader.byte()
        size = reader.unsigned()
        begin = reader.position
        yield kind, begin, begin + size
        reader.position = begin + size


def unsigned(value: int) -> bytes:
    """Encode an unsigned number."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def signed(value: int) -> bytes:
    """Encode a signed number."""
    encoded = bytearray()
    while not -0x40 <= value < 0x40:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value & 0x7F)
    return bytes(encoded)


def name(text: str) -> bytes:
    """Encode a name."""
    encoded = text.encode()
    return unsigned(len(encoded)) + encoded


def vector(elements: Iterable[bytes]) -> bytes:
    """Encode a vector."""
    elements = list(elements)
    return unsigned(len(elements)) + b"".join(elements)


def section(kind: int, content: bytes) -> bytes:
    """Encode a section."""
    return bytes([kind]) + unsigned(len(content)) + content
