"""The protobuf wire format: fields found by their place, and messages made of bytes.

What is read of a graph is read here, and what is rewritten is copied as it is where it is not ours. Which number is
which field of an ONNX model stands in `schema`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

GRAPH_BYTES_MAX: Final = 2**31 - 1
"""A protobuf message is no longer, so neither is a model."""

REWRITTEN_BYTES_MAX: Final = 512 * 1024 * 1024
"""A graph that is rewritten when it is loaded lies in memory twice."""


class Unreadable(ValueError):
    """The bytes are no message, or not one as we know how to read it."""


class Field(NamedTuple):
    """A field of a message.

    number: what it is, by the message's schema.
    start: where its tag begins.
    low, high: where its content lies.
    value: the number that it is; None where it holds bytes, a text or a message.
    """

    number: int
    start: int
    low: int
    high: int
    value: int | None


def fields(data: bytes | memoryview, start: int, end: int) -> Iterator[Field]:
    """Walk the fields of the message that lies there. Raises Unreadable."""
    while start < end:
        first = start
        tag, start = varint(data, start, end)
        number, wire = tag >> 3, tag & 7
        value = None
        if wire == 2:
            size, start = varint(data, start, end)
        elif wire == 0:
            value, after = varint(data, start, end)
            size = after - start
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise Unreadable(f"wire type {wire} at byte {first}")
        if number == 0 or size > end - start:
            raise Unreadable(f"a field goes beyond its message at byte {first}")
        yield Field(number, first, start, start + size, value)
        start += size


def varint(data: bytes | memoryview, start: int, end: int) -> tuple[int, int]:
    """Return the number that begins there, and where it ends. Raises Unreadable."""
    value = shift = 0
    while start < end and shift < 64:
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7
    raise Unreadable(f"a number is cut off at byte {start}")


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


def text(data: bytes | memoryview, field: Field) -> str:
    """Return the text of a field. Raises Unreadable."""
    if field.value is not None:
        raise Unreadable("a text field holds a number")
    try:
        return bytes(data[field.low : field.high]).decode()
    except UnicodeDecodeError as error:
        raise Unreadable("a name is not UTF-8") from error
