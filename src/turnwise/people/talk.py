"""The course of a run as one of its agents has it: what it read, asked, was answered and sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from turnwise.core.calling import tool_named
from turnwise.core.question import ASK, is_overdue_reply, question_text
from turnwise.core.records import ParkRecord, QuestionRecord, TurnRecord
from turnwise.history.outside_changes import answer_text
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.names import AgentNames
from turnwise.monitor.answers.texts import shown, text_of
from turnwise.monitor.answers.turn import message_row

ROUNDS_MAX: Final = 100
"""Rounds of one answer."""
ROWS_MAX: Final = 200
"""Messages, questions and lines of a turn, of each; the page says how many more there are."""


def talk(journal: Journal, name: str, after: int, before: int | None = None) -> dict[str, Any]:
    """Turns of an agent in the newest rounds behind `after`, and in front of `before` if given.

    `first` is the first round that was looked at: there may be more before it. A turn that waited has a row for each
    round in which it moved, its mail in the first of them.
    """
    end = journal.rounds.last_round + 1 if before is None else before
    first = max(after + 1, end - ROUNDS_MAX, 1)
    names = AgentNames(journal)
    place = journal.queries.agent(name).place
    parks = journal.rounds.parks.between(first, end - 1, place)
    answers = journal.rounds.parks.first_answers()
    rows = []
    for number in range(first, end):
        found: list[TurnRecord | ParkRecord] = list(parks.get(number, ()))
        if not found and journal.grid.has_turn(place, number):
            found = [turn for _, turn in journal.queries.turns(place, number)]
        rows += [_row(journal, number, part, names, answers) for part in found]
    return {"turns": [row for row in rows if _says(row)], "first": first}


def _row(
    journal: Journal,
    number: int,
    part: TurnRecord | ParkRecord,
    names: AgentNames,
    answers: Mapping[int, tuple[int, int]],
) -> dict[str, Any]:
    before = journal.rounds.parks.parts(part.place, part.turn, number)
    replies = journal.rounds.parks.replies(before[-1][1], answers) if before else []
    output = part.output if isinstance(part, TurnRecord) else None
    failure = part.failure if isinstance(part, TurnRecord) else None
    inbox = () if before else part.inbox
    sent = journal.grid.sent_by(part.place, number) if output is not None else []
    logs = () if output is None else output.log
    return {
        "round": number,
        "read": [message_row(journal.queries.message(seq), names) for seq in inbox[:ROWS_MAX]],
        "asked": [_answered(question, reply) for question, reply in replies[:ROWS_MAX] if question.kind == ASK],
        "calls": [
            {"tool": tool, "reply": shown(text_of(effect.reply, ("text", "data")))}
            for effect in part.effects[:ROWS_MAX]
            if (tool := tool_named(effect)) is not None
        ],
        "answers": [
            {"model": effect.model, "text": shown(text_of(effect.reply, ("text",)))}
            for effect in part.effects[:ROWS_MAX]
            if effect.model is not None
        ],
        "sent": [message_row(message, names) for message in sent[:ROWS_MAX]],
        "logs": [{"level": log.level, **shown(log.text)} for log in logs[:ROWS_MAX]],
        "finish": None if output is None or output.finish is None else shown(output.finish),
        "failed": None if failure is None else shown(f"{failure.kind}: {failure.message}"),
        "hidden": sum(max(0, len(of) - ROWS_MAX) for of in (inbox, part.effects, sent, logs)),
    }


def _answered(question: QuestionRecord, reply: str) -> dict[str, Any]:
    """A question that the turn went on from, with the answer."""
    return {
        "text": shown(question_text(question.request)),
        "answer": shown(answer_text(reply)),
        "default": is_overdue_reply(reply),
    }


def _says(row: dict[str, Any]) -> bool:
    return any(row[key] for key in ("read", "asked", "calls", "answers", "sent", "logs", "finish", "failed"))
