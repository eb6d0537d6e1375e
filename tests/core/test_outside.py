"""What comes from outside: when a round can begin with it."""

from __future__ import annotations

from typing import Any

import pytest

from turnwise.core.events import Answer
from turnwise.core.outside import Outside


class World:
    """A world that notes which questions it is asked about, and says that all can be answered."""

    def __init__(self, round_: int) -> None:
        self.round = round_
        self.asked: list[tuple[int, int, str | None]] = []

    def is_asked(self, question: int, round_: int, asked: str | None = None) -> bool:
        self.asked.append((question, round_, asked))
        return True


@pytest.mark.parametrize(("after", "now", "round_"), [(0, 4, 5), (4, 4, 5), (7, 4, 8)])
def test_an_answer_is_for_the_round_after_now_or_the_one_that_it_is_meant_for(
    after: int, now: int, round_: int
) -> None:
    outside, world = Outside([]), World(now)
    due: Any = outside.is_due
    assert due(world) is False
    outside.put(Answer(3, "reply", after=after))
    assert due(world) is True
    assert world.asked == [(3, round_, None)]
