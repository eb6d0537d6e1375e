"""Calls that turns are parked with, and what they become."""

from __future__ import annotations

from turnwise.core.question import ASK
from turnwise.core.records import ParkRecord, QuestionRecord, RoundRecord
from turnwise.orchestrator.left_calls import LeftCalls

CALL_BODY = '{"effect":"call","tool":"a.b"}'
SLOW, SOON, APPROVED = (0, 1, 0, 0), (0, 1, 2, 0), (0, 1, 1, 0)


def parked() -> RoundRecord:
    questions = (
        QuestionRecord(4, 0, "call", CALL_BODY),
        QuestionRecord(5, 1, ASK, '{"effect":"ask"}'),
        QuestionRecord(6, 2, "call", CALL_BODY),
    )
    park = ParkRecord(0, 1, (), 0, (), questions, ((3, True),), 0, 1, 1)
    return RoundRecord(3, (), (), (), (), (), b"", b"", parks=(park,))


def test_an_outcome_that_comes_before_its_question_is_known_waits_for_that() -> None:
    left = LeftCalls()
    assert not left
    for key in (SLOW, SOON):
        left.leave(key)
    assert SLOW in left
    assert APPROVED not in left
    assert left.outcome(SOON, "soon") is None
    assert left.parked(parked()) == [(6, "soon")]
    assert SOON not in left
    assert left.outcome(SLOW, "late") == 4
    assert not left


def test_a_round_tells_nothing_of_calls_that_are_known_or_nobody_left() -> None:
    left = LeftCalls()
    left.leave(SLOW, 9)
    assert left.parked(parked()) == []
    assert left.outcome(SLOW, "late") == 9
    assert left.parked(parked()) == []
    assert not left


def test_an_outcome_of_an_earlier_stage_is_not_taken_for_that_of_the_next() -> None:
    """In a fork the recorded answer may begin a round before the stand-in of a server has said the same."""
    left, again = LeftCalls(), (0, 1, 0, 1)
    left.leave(SLOW, 2)
    left.leave(again)
    assert left.outcome(SLOW, "first") == 2
    assert left.parked(parked()) == []
    assert left.outcome(again, "second") == 4
