"""Answers of people, checked before anything is done with them; and leaving one for a run of another process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from turnwise.core.question import AskedQuestion
from turnwise.errors import UsageError
from turnwise.journal import Journal
from turnwise.orchestrator import answer_box


def check_answer(asked: AskedQuestion, value: Any) -> None:
    """Raise `UsageError` if a JSON value is no answer to a question, with what is wrong."""
    problem = asked.question.refusal(value)
    if problem is not None:
        raise UsageError(
            f"this is no answer to question {asked.id} of {asked.agent}: {problem}",
            where="answer",
            expected=asked.schema,
            actual=value,
            hint="The question stays open: answer again.",
        )


def unknown_question(number: int) -> UsageError:
    """Make the error for a number that no question of the run has."""
    return UsageError(
        f"there is no question {number} in this run",
        where="answer",
        actual=number,
        hint="turnwise answer JOURNAL lists the questions that wait.",
    )


def leave_answer(journal: Path, number: int, value: Any, parents: Sequence[Path] = ()) -> bool:
    """Leave the answer to a question where the run finds it, whether it is going on or stopped.

    Return False if it has no effect: the question was answered before, or its turn is over. Raises `UsageError` for a
    number that no question has, and for what is no answer to it.
    """
    with Journal.open(journal, parents=parents) as file:
        asked = {entry.id: entry for entry in file.machine.at().questions()} if file.rounds.end_record is None else {}
        if number not in asked:
            if file.rounds.parks.question(number) is None:
                raise unknown_question(number)
            return False
        check_answer(asked[number], value)
        return answer_box.put(file.path, number, asked[number].asked, value)
