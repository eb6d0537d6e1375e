"""Bounds and defaults of plans, which worlds rely on: with another default, the same world is another run."""

from __future__ import annotations

from turnwise.core import plan


def test_bounds_and_defaults_are_those_that_worlds_rely_on() -> None:
    assert plan.SEED_MAX == 9_223_372_036_854_775_807
    assert plan.ROUNDS_MAX == 2_147_483_647
    assert plan.FUEL_DEFAULT == 1_000_000_000
    assert plan.MEMORY_MIB_DEFAULT == 64
    assert plan.OUTPUT_BYTES_MAX_DEFAULT == 4_194_304
    assert plan.EFFECTS_MAX_DEFAULT == 64
    assert plan.STATE_BYTES_MAX_DEFAULT == 8_388_608
    assert plan.SEND_BYTES_MAX_DEFAULT == 4_194_304
    assert plan.DELIVERIES_MAX_DEFAULT == 1_000_000
    assert plan.INBOX_BYTES_MAX_DEFAULT == 8_388_608
    assert plan.EFFECTS_BYTES_MAX_DEFAULT == 67_108_864
    assert plan.PUT_BYTES_MAX_DEFAULT == 67_108_864
    assert plan.CONTENTS_BYTES_MAX_DEFAULT == 268_435_456
    assert plan.AGENTS_MAX_DEFAULT == 1_000_000
    assert plan.TIME_START_US_DEFAULT == 946_684_800_000_000
    assert plan.ROUND_US_DEFAULT == 1_000_000
    assert plan.Limits().memory_bytes == 67_108_864
