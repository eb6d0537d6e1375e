from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.inference.decoding.prompt_pieces import PromptPieces
from turnwise.inference.engine.scheduler import chunk_end

FREE = PromptPieces(128, 4096)
ON_GRID = PromptPieces(256, 4096, on_grid=True)
WIDE = PromptPieces(256, 4096, on_grid=True, wide=True)


def test_where_nothing_shows_a_prompt_is_one_piece_and_all_of_it_is_reused() -> None:
    assert FREE.cut(1000) == [1000]
    assert (FREE.width(1000), FREE.reusable(999), FREE.keepable(999)) == (0, 999, 999)
    assert FREE.filling(0, 3, 1024) == 0


@given(st.integers(1, 5000))
def test_pieces_are_cut_as_the_scheduler_does(tokens: int) -> None:
    start, cut = 0, []
    while start < tokens:
        cut.append(chunk_end(start, tokens, 256) - start)
        start += cut[-1]
    assert ON_GRID.cut(tokens) == cut
    assert 1 not in cut or tokens == 1


@pytest.mark.parametrize(("tokens", "width"), [(1, 1024), (1024, 1024), (1025, 2048), (2049, 4096), (4096, 4096)])
def test_the_width_is_a_power_of_two_within_the_context(tokens: int, width: int) -> None:
    assert WIDE.width(tokens) == width
    assert PromptPieces(256, 1100, True, True).width(1100) == 1152, "rounded up to whole blocks"


def test_a_piece_is_filled_up_unless_it_would_reach_beyond_its_width() -> None:
    pieces = ((0, 3), (256, 2), (0, 256), (300, 100), (0, 257))
    assert [WIDE.filling(past, new, 512) for past, new in pieces] == [253, 254, 0, 0, 0]
    assert ON_GRID.filling(0, 3, 512) == 0


@given(st.integers(1, 5000), st.integers(0, 5000))
def test_what_is_reused_was_run_in_whole_pieces(tokens: int, known: int) -> None:
    assert ON_GRID.reusable(known) % 256 == 0
    assert ON_GRID.keepable(tokens) <= tokens
    assert ON_GRID.keepable(tokens) % 256 == 0
