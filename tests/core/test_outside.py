"""What comes from outside: when a round can begin with it."""

from __future__ import annotations

from typing import Any

import pytest

from turnwise.core.events import Answer, Input, OutsideChange
from turnwise.core.outside import Outside
from turnwise.core.records import AnswerRecord, ChangeRecord, RoundRecord
from turnwise.errors import DifferenceFound


class World:
    """A world that notes which questions it is asked about, and says of all that they can be answered, or of none."""

    def __init__(self, round_: int, open_: bool = True) -> None:
        self.round = round_
        self.asked: list[tuple[int, int, str | None]] = []
        self.taken: list[tuple[int, int]] = []
        self._open = open_

    def is_asked(self, question: int, round_: int, asked: str | None = None) -> bool:
        self.asked.append((question, round_, asked))
        return self._open

    def take_answer(self, answer: AnswerRecord, round_: int) -> None:
        self.taken.append((answer.question, round_))


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


def taken(after: tuple[int, ...], before: int) -> tuple[tuple[AnswerRecord, ...], list[int], World]:
    """Give answers, one after each of these rounds, and take those of one round."""
    outside, world = Outside([]), World(before)
    for number, round_ in enumerate(after):
        outside.put(Answer(number, f"reply {number}", after=round_))
    take: Any = outside.take_answers
    return take(world, before), [entry.after for entry in outside.answers], world


def test_answers_are_taken_in_the_round_behind_the_one_that_they_come_after() -> None:
    answers, left, world = taken((0, 3, 4), 3)
    assert answers == (AnswerRecord(0, "reply 0"), AnswerRecord(1, "reply 1"))
    assert left == [4]
    assert world.asked == [(0, 4, None), (1, 4, None)]
    assert world.taken == [(0, 4), (1, 4)]


def checked(round_: int, *recorded: AnswerRecord, given: tuple[Answer, ...], open_: bool = True) -> list[int]:
    """Compare what a round begins with with answers that were to come; return after which rounds others come."""
    outside, world = Outside([]), World(round_ - 1, open_)
    for answer in given:
        outside.put(answer)
    check: Any = outside.check
    check(RoundRecord(round_, (), (), (), (), (), b"", b"", answers=recorded), world)
    assert all(asked[1:] == (round_, None) for asked in world.asked)
    return [entry.after for entry in outside.answers]


def test_a_round_begins_with_the_first_answers_to_what_was_open() -> None:
    first, again, other = Answer(1, "first", after=3), Answer(1, "again", after=3), Answer(2, "other", after=2)
    late = Answer(3, "late", after=4)
    records = AnswerRecord(1, "first"), AnswerRecord(2, "other")
    assert checked(4, *records, given=(first, again, other, late)) == [4]
    assert checked(4, *records, AnswerRecord(9, "from outside"), given=(first, other)) == []
    assert checked(4, given=(first, other), open_=False) == []
    for recorded in ((), records[:1], records[1:], (AnswerRecord(1, "again"), records[1])):
        with pytest.raises(DifferenceFound, match="before round 4 is not what was to come"):
            checked(4, *recorded, given=(first, again, other))


def test_what_waits_is_there() -> None:
    outside = Outside([])
    assert outside.is_empty is True
    for event in (Input("a", "b"), Answer(1, "reply"), OutsideChange(ChangeRecord("stop", 0))):
        full = Outside([])
        full.put(event)
        assert full.is_empty is False
