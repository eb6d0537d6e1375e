from __future__ import annotations

from turnwise.inference.plans.kv_sizes import row_positions


def test_rows_are_of_few_sizes() -> None:
    assert [row_positions(capacity) for capacity in (1, 64, 65, 1000)] == [64, 64, 128, 1024]
    assert [row_positions(capacity, 700) for capacity in (1, 65, 600, 700)] == [64, 128, 704, 704]
