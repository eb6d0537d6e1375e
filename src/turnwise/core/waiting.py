"""Questions and calls of tools that turns wait for between their rounds, seen together with what is to come from
outside.
"""

from __future__ import annotations

from collections.abc import Container

from turnwise.core.calling import CALL
from turnwise.core.outside import Outside
from turnwise.core.question import ASK, AskedQuestion, question_of
from turnwise.core.records import QuestionRecord
from turnwise.core.state import WorldState, asked_digest


def is_overdue_next(world: WorldState, outside: Outside) -> bool:
    """Return whether the next round takes the default of a question, unless it is answered before."""
    if not world.asked or outside.is_due(world):
        return False
    due = world.schedule.next_round(world.round)
    waiting = (world.agents[place].parked for place in world.asked.values())
    return any(parked is not None and parked.is_overdue and parked.due_at == due for parked in waiting)


def asked_questions(world: WorldState, outside: Outside, round_: int, moving: Container[int]) -> list[AskedQuestion]:
    """The questions that an answer would reach that comes now, in order of number.

    `round_` is the round in progress, or the last; agents at the places `moving` have a turn in it.
    """
    given = {entry.question for entry in outside.answers if entry.after <= world.round}
    found = []
    for number, place in sorted(world.asked.items()):
        agent = world.agents[place]
        is_open = world.is_asked(number, round_ + 1) and place not in moving and number not in given
        if agent.parked is not None and is_open:
            record = agent.parked.questions[number]
            if record.kind == ASK:
                asked, question = asked_digest(agent.name, agent.parked.turn, record), question_of(record.request)
                found.append(AskedQuestion(number, agent.name, question, record.deadline, asked))
    return found


def is_answer_coming(world: WorldState, outside: Outside, question: int) -> bool:
    """Return whether an answer to a question that waits is to come from outside."""
    place = world.asked.get(question)
    parked = None if place is None else world.agents[place].parked
    if place is None or parked is None:
        return False
    asked = asked_digest(world.agents[place].name, parked.turn, parked.questions[question])
    return any(entry.question == question and entry.asked in (None, asked) for entry in outside.answers)


def parked_calls(world: WorldState, outside: Outside) -> list[tuple[int, int, int, str | None, QuestionRecord]]:
    """Calls of tools that turns wait for between their rounds, and whose outcome is not known to come.

    Each with place, turn, its stage, and the answers that it goes on with; in order of number.
    """
    found = []
    for number, place in sorted(world.asked.items()):
        parked = world.agents[place].parked
        if parked is not None and number not in parked.answers and not is_answer_coming(world, outside, number):
            record = parked.questions[number]
            if record.kind == CALL:
                stage, answers = parked.stage(record.index), parked.call_answers.get(record.index)
                found.append((place, parked.turn, stage, answers, record))
    return found
