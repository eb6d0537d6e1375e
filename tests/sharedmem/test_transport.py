from __future__ import annotations

import sys

import pytest

from turnwise.sharedmem.transport import MEMFD_GEOMETRY, MESSAGE_BYTES_MAX_LIMIT, PORTABLE_GEOMETRY, Geometry, resolve


def test_auto_is_memfd_on_linux_and_portable_elsewhere() -> None:
    assert resolve("auto") == ("memfd" if sys.platform == "linux" else "portable")
    assert resolve("portable") == "portable"
    assert resolve("memfd") == "memfd"


@pytest.mark.parametrize(
    ("slots", "slot_bytes", "message_bytes_max"),
    [(0, 1, 1), (33, 1, 1), (1, 0, 1), (1, -1, 1), (32, 2**27, 1), (1, 1, -1), (1, 1, 2**32)],
)
def test_a_geometry_that_descriptors_cannot_say_is_refused(slots: int, slot_bytes: int, message_bytes_max: int) -> None:
    with pytest.raises(ValueError, match=r"must (be|have)"):
        Geometry(slots=slots, slot_bytes=slot_bytes, message_bytes_max=message_bytes_max)


def test_the_geometries_in_use_fit_a_descriptor() -> None:
    for geometry in (MEMFD_GEOMETRY, PORTABLE_GEOMETRY):
        assert geometry.arena_bytes <= MESSAGE_BYTES_MAX_LIMIT
        assert geometry.message_bytes_max >= geometry.slot_bytes
