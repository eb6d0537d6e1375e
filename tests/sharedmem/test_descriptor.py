"""The layout is what the table says, byte by byte."""

from __future__ import annotations

import struct

import pytest

from turnwise.sharedmem import descriptor


def test_layout_is_sixteen_bytes_little_endian_in_the_order_of_the_table() -> None:
    packet = descriptor.pack(
        descriptor.MESSAGE, slot=3, kind=0x0201, length=0x06050403, remaining=0x0A090807, released=0x0E0D0C0B
    )
    assert packet == bytes([1, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])


def test_operations_are_distinct() -> None:
    operations = {
        descriptor.MESSAGE,
        descriptor.RELEASE,
        descriptor.DISCARD,
        descriptor.ARENA,
        descriptor.ATTACHED,
        descriptor.BYE,
    }
    assert len(operations) == 6


@pytest.mark.parametrize("field", ["slot", "kind", "length", "remaining", "released"])
def test_a_field_that_does_not_fit_is_an_error(field: str) -> None:
    with pytest.raises(struct.error):
        descriptor.pack(descriptor.MESSAGE, **{field: 2**32})
