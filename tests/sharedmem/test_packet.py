"""The layout is what the table says, byte by byte."""

from __future__ import annotations

import struct

import pytest

from turnwise.sharedmem import packet


def test_layout_is_sixteen_bytes_little_endian_in_the_order_of_the_table() -> None:
    data = packet.pack(packet.MESSAGE, slot=3, kind=0x0201, length=0x0A09080706050403, released=0x0E0D0C0B)
    assert data == bytes([1, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])


def test_operations_are_distinct() -> None:
    operations = {packet.MESSAGE, packet.RELEASE, packet.LONG, packet.ASK, packet.GRANT, packet.ARENAS}
    assert len(operations) == 6


@pytest.mark.parametrize("field", ["slot", "kind", "length", "released"])
def test_a_field_that_does_not_fit_is_an_error(field: str) -> None:
    with pytest.raises(struct.error):
        packet.pack(packet.MESSAGE, **{field: 2**64})
