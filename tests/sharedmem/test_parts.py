from __future__ import annotations

import array

import numpy as np
import pytest

from turnwise.sharedmem.parts import copy, measure


@pytest.mark.parametrize(
    "part",
    [
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"view"),
        array.array("i", [1, 2, 3]),
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.zeros((0, 3), dtype=np.float64),
        np.float32(1.5),
    ],
)
def test_any_contiguous_buffer_is_sent_as_its_bytes(part: object) -> None:
    flat, length = measure([part, b"!"])  # type: ignore[list-item]
    assert b"".join(flat) == bytes(memoryview(part)) + b"!"  # type: ignore[arg-type]
    assert length == len(b"".join(flat))


def test_a_buffer_with_gaps_is_refused() -> None:
    with pytest.raises(TypeError, match="contiguous"):
        measure([memoryview(bytes(10))[::2]])
    with pytest.raises(TypeError):
        measure(["text"])  # type: ignore[list-item]


def test_parts_are_copied_one_behind_the_other() -> None:
    target = bytearray(8)
    copy([b"ab", b"", bytearray(b"cde")], memoryview(target), 2)
    assert target == b"\0\0abcde\0"
