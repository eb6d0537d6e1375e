"""Random streams are promises too: a change of these values changes every run."""

from __future__ import annotations

from turnwise.core.streams import effect_stream, turn_seed


def test_values() -> None:
    assert turn_seed(7, "narrator-1", 3) == "f54eee4be24d4909f23cf0febd3b6440fc994dd2be9094a89f46e354c6c16313"
    assert (
        effect_stream(7, "narrator-1", 3, 0).hex() == "8d32ebea30555a30c9d096e1e37ddb87b33c36f0a418fa2e2b0073b00956a222"
    )


def test_every_part_of_the_key_matters() -> None:
    streams = {
        effect_stream(seed, name, turn, index)
        for seed in (0, 1, 2**63 - 1)
        for name in ("a", "b", "a 1", "é")
        for turn in (1, 2, 11)
        for index in (0, 1, 10)
    }
    assert len(streams) == 3 * 4 * 3 * 3
    assert turn_seed(1, "a", 2) != turn_seed(1, "a", 12)
