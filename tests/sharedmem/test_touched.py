from __future__ import annotations

from turnwise.sharedmem.touched import Touched
from turnwise.sharedmem.transport import Geometry


def test_each_slot_counts_with_the_longest_message_that_was_in_it() -> None:
    touched = Touched(Geometry(slots=4, slot_bytes=10))
    touched.note(0, 7)
    touched.note(0, 3)
    assert touched.bytes == 7
    touched.note(1, 25)  # slots 1, 2 and half of 3
    assert touched.bytes == 32
    assert touched.bytes_in(0b1000) == 5
    assert touched.bytes_in(0b0011) == 17
    touched.note(0, 40)
    assert touched.bytes == 40
    touched.forget(2)
    assert touched.bytes == 30
    touched.forget(2)
    assert touched.bytes == 30
    assert touched.bytes_in(0b1111) == 30
