from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from turnwise.inference.decoding.block_span import BlockSpan
from turnwise.inference.engine.prefix_index import PrefixIndex
from turnwise.inference.plans.kv_sizes import BLOCK_TOKENS

B = BLOCK_TOKENS


def tokens(*runs: tuple[int, int]) -> list[int]:
    """(token, how often), …"""
    return [token for token, count in runs for _ in range(count)]


def reused(index: PrefixIndex, wanted: list[int]) -> int:
    return sum(piece.count for piece in index.find(wanted, len(wanted)))


def test_whole_blocks_and_the_beginning_of_one_more_are_found() -> None:
    index = PrefixIndex(10)
    assert index.insert(tokens((1, B), (2, B), (3, 5))) == [BlockSpan(0, 0, B), BlockSpan(1, B, B)]
    assert index.find(tokens((1, B), (2, B), (3, 5)), 2 * B + 5) == [BlockSpan(0, 0, B), BlockSpan(1, B, B)]
    assert index.find(tokens((1, B), (2, 3), (9, 50)), 2 * B) == [BlockSpan(0, 0, B), BlockSpan(1, B, 3)]
    assert index.find(tokens((1, B), (2, B)), 2 * B - 2) == [BlockSpan(0, 0, B), BlockSpan(1, B, B - 2)]
    assert index.find(tokens((9, 100)), 98) == []
    assert index.find(tokens((1, 2)), 0) == []


def test_what_is_here_is_not_taken_in_again() -> None:
    index = PrefixIndex(10)
    index.insert(tokens((1, B), (2, B)))
    assert index.insert(tokens((1, B), (2, B))) == []
    assert index.insert(tokens((1, B), (3, B))) == [BlockSpan(2, B, B)]
    assert len(index) == 3


def test_the_longest_beginning_among_siblings_counts() -> None:
    index = PrefixIndex(10)
    for last in (5, 6, 7):
        index.insert(tokens((1, last), (9, B - last)))
    assert (
        index.find(tokens((1, 6), (8, 100)), 60) == [BlockSpan(1, 0, 6)] or reused(index, tokens((1, 6), (8, 9))) == 6
    )


def test_what_many_prompts_have_not_used_is_dropped() -> None:
    index = PrefixIndex(10, prompts_max=3)
    index.insert(tokens((1, B), (2, B)))
    index.insert(tokens((1, B), (3, B)))
    for _ in range(3):
        assert reused(index, tokens((1, B), (3, B))) == 2 * B
        assert index.dropped() == []
    assert reused(index, tokens((1, B), (3, B))) == 2 * B
    assert index.dropped() == [1], "the block of another end; what both begin with is used"
    assert index.dropped() == []
    assert reused(index, tokens((1, B), (2, B))) == B
    for _ in range(3):
        assert reused(index, [9]) == 0
    assert sorted(index.dropped()) == [2]
    assert reused(index, [9]) == 0
    assert index.dropped() == [0]
    assert len(index) == 0
    assert [span.block for span in index.insert(tokens((4, 10 * B)))] != []
    assert len(index) == 10


def test_a_dropped_block_that_is_in_use_again_is_not_told() -> None:
    index = PrefixIndex(1, prompts_max=1)
    index.insert(tokens((1, B)))
    for _ in range(2):
        index.find([9], 1)
    assert len(index) == 0
    index.insert(tokens((2, B)))
    assert index.dropped() == []


def test_without_a_bound_nothing_is_dropped() -> None:
    index = PrefixIndex(10)
    index.insert(tokens((1, B)))
    for _ in range(5_000):
        index.find([9], 1)
    assert len(index) == 1


def test_what_was_used_longest_ago_makes_room() -> None:
    index = PrefixIndex(3)
    index.insert(tokens((1, B)))
    index.insert(tokens((2, B), (3, B)))
    assert reused(index, tokens((1, B))) == B
    assert index.insert(tokens((4, B))) == [BlockSpan(2, 0, B)]
    assert reused(index, tokens((2, B), (3, B))) == B
    assert reused(index, tokens((1, B))) == B
    assert len(index) == 3


def test_a_prompt_longer_than_the_cache_keeps_its_beginning() -> None:
    index = PrefixIndex(2)
    assert len(index.insert(tokens((1, B), (2, B), (3, B), (4, B)))) == 2
    assert reused(index, tokens((1, B), (2, B), (3, B))) == 2 * B
    assert PrefixIndex(0).insert(tokens((1, B))) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6), st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 40)), max_size=4), max_size=25))
def test_blocks_hold_what_they_are_found_for(blocks: int, prompts: list[list[tuple[int, int]]]) -> None:
    """Memory follows the index: what is found is what was written, whatever was dropped in between."""
    index = PrefixIndex(blocks)
    memory: dict[int, list[int]] = {}
    before: dict[int, list[int]] = {}
    for runs in prompts:
        prompt = tokens(*runs)
        found = index.find(prompt, len(prompt))
        start = 0
        for piece in found:
            assert piece.start == start
            # KV depends on all tokens before, so the whole past is compared.
            assert before[piece.block] == prompt[:start]
            assert memory[piece.block][: piece.count] == prompt[start : start + piece.count]
            start += piece.count
        for piece in index.insert(prompt):
            memory[piece.block] = prompt[piece.start : piece.start + piece.count]
            before[piece.block] = prompt[: piece.start]
        assert len(index) <= blocks
