from __future__ import annotations

import sys

import pytest

from turnwise.sharedmem.transport import Geometry, resolve


def test_auto_is_memfd_on_linux_and_portable_elsewhere() -> None:
    assert resolve("auto") == ("memfd" if sys.platform == "linux" else "portable")
    assert resolve("portable") == "portable"
    assert resolve("memfd") == "memfd"


@pytest.mark.parametrize(("slots", "slot_bytes"), [(0, 1), (33, 1), (1, 0), (1, -1)])
def test_a_geometry_that_packets_cannot_say_is_refused(slots: int, slot_bytes: int) -> None:
    with pytest.raises(ValueError, match="must"):
        Geometry(slots, slot_bytes)


def test_an_arena_has_room_for_all_its_slots() -> None:
    assert Geometry(3, 10).arena_bytes == 30
