"""The protobuf wire format, as far as a graph is rewritten: fields found by their place, and messages made of bytes.

Whatever is not ours is copied as it is. Numbers of fields come from onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Iterator


class Unreadable(ValueError):
    """The bytes are not what we know how to rewrite."""


def fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(field number, start of its tag, start and end of its content). A number's content is its bytes."""
    while start < end:
        first = start
        tag, start = _varint(data, start, end)
        number, wire = tag >> 3, tag & 7
        if wire == 2:
            size, start = _varint(data, start, end)
        elif wire == 0:
            _, after = _varint(data, start, end)
            size = after - start
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise Unreadable(f"wire type {wire}")
        if number == 0 or size > end - start:
            raise Unreadable("a field goes beyond its message")
        yield number, first, start, start + size
        start += size


def _varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while start < end and shift < 64:
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7
    raise Unreadable("a number is cut off")


def _encoded(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def number_field(field: int, value: int) -> bytes:
    return _encoded(field << 3) + _encoded(value)


def message(field: int, body: bytes) -> bytes:
    return _encoded(field << 3 | 2) + _encoded(len(body)) + body


def text_field(field: int, text: str) -> bytes:
    return message(field, text.encode())


def decoded(data: bytes, low: int, high: int) -> str:
    try:
        return data[low:high].decode()
    except UnicodeDecodeError as error:
        raise Unreadable("a name is not UTF-8") from error
