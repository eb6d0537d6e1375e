"""Calls that turns are parked with: which question each has become, once that is known.

A call is left in the middle of a round, and the question that it becomes has its number when the round is over. An
outcome that comes earlier is kept until then.
"""

from __future__ import annotations

from turnwise.core.calling import CALL
from turnwise.core.records import RoundRecord

CallKey = tuple[int, int, int, int]
"""Place, turn, number of the effect in the turn, and stage of the call: of an earlier one news may still come."""


class LeftCalls:
    """Calls that were left and have no outcome yet, or one that is early."""

    def __init__(self) -> None:
        self._questions: dict[CallKey, int | None] = {}
        self._early: dict[CallKey, str] = {}
        self._parking: dict[tuple[int, int, int], CallKey] = {}  # those that were left in the round in progress

    def __bool__(self) -> bool:
        return bool(self._questions)

    def __contains__(self, key: CallKey) -> bool:
        return key in self._questions

    def leave(self, key: CallKey, question: int | None = None) -> None:
        """Take a call that its turn is to park with; or that it parked with before, as a question with this number."""
        self._questions[key] = question
        if question is None:
            self._parking[key[:3]] = key

    def outcome(self, key: CallKey, outcome: str) -> int | None:
        """Take the outcome of a call; return the question that it answers, None as long as that is not known."""
        question = self._questions[key]
        if question is None:
            self._early[key] = outcome
        else:
            del self._questions[key]
        return question

    def parked(self, record: RoundRecord) -> list[tuple[int, str]]:
        """Learn what questions calls have become in a round; return those that have an outcome, with that."""
        answered: list[tuple[int, str]] = []
        for park in record.parks:
            for question in park.questions:
                key = self._parking.pop((park.place, park.turn, question.index), None)
                if question.kind == CALL and key is not None:
                    self._questions[key] = question.id
                    if (outcome := self._early.pop(key, None)) is not None:
                        del self._questions[key]
                        answered.append((question.id, outcome))
        return answered
