from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from turnwise.inference.decoding.memory_budget import budget
from turnwise.inference.plans.kv_sizes import BLOCK_TOKENS


def test_what_is_stated_is_divided() -> None:
    found = budget(8_192_000, bytes_per_token=1000, context_length=2048, rows_max=16)
    assert (found.blocks, found.positions_max, found.context_length, found.rows_max) == (32, 7168, 2048, 16)


def test_a_context_that_does_not_fit_is_shorter() -> None:
    assert budget(1_000_000, bytes_per_token=1000, context_length=2048, rows_max=16, cached=False).context_length == 960
    assert (
        budget(
            1_000_000, bytes_per_token=1000, context_length=2048, rows_max=16, rows_spare=1, cached=False
        ).context_length
        == 448
    )


def test_one_short_row_there_always_is() -> None:
    found = budget(1, bytes_per_token=1000, context_length=2048, rows_max=16)
    assert (found.rows_max, found.context_length, found.blocks) == (1, 64, 0)


def test_without_a_statement_the_memory_of_the_machine_decides() -> None:
    found = budget(None, bytes_per_token=2560, context_length=512, rows_max=32)
    assert (found.rows_max, found.context_length, found.blocks) == (32, 512, 1024)


@given(st.integers(1, 10**10), st.integers(1, 10**6), st.integers(8, 10**6), st.integers(1, 64), st.integers(0, 1))
def test_no_more_than_the_budget(whole: int, token: int, context: int, rows: int, spare: int) -> None:
    found = budget(whole, bytes_per_token=token, context_length=context, rows_max=rows, rows_spare=spare)
    least = (1 + spare) * 64
    assert (found.positions_max + found.blocks * BLOCK_TOKENS) * token <= whole or found.positions_max == least
    assert 1 <= found.rows_max <= rows
    assert 8 <= found.context_length <= context
    assert (1 + spare) * found.context_length <= found.positions_max
    assert (found.rows_max + spare) * 64 <= found.positions_max
