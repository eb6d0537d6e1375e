"""One round: its counts, its times, and who moved."""

from __future__ import annotations

from typing import Any, Final

from turnwise.history.outside_changes import change_text
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.names import AgentNames
from turnwise.monitor.answers.questions import QuestionRows, asked_of
from turnwise.monitor.answers.texts import shown

TURNS_MAX: Final = 500
"""Turns of a round that are listed; the page says how many more there are."""

ASKED_MAX: Final = 8
"""Questions of a turn that waits which are told with its round."""


def round_(journal: Journal, number: int) -> dict[str, Any]:
    """A round with its turns in short, and the rounds before and behind it in which somebody moved."""
    names = AgentNames(journal)
    found = journal.rounds.summary(number)
    record = journal.rounds.round(number)
    times = journal.timings.round(number)
    before = journal.rounds.summary_before(number)
    questions = QuestionRows(journal, names)
    replies = [questions.answer(answer.question, answer.reply) for answer in record.answers[:TURNS_MAX]]
    return {
        "round": number,
        "before": None if before is None else before.round,
        "head": found.head.hex(),
        "counts": {
            name: getattr(found, name)
            for name in (
                "turns",
                "failed",
                "effects",
                "logs",
                "records",
                "inputs",
                "messages",
                "spawned",
                "stopped",
                "fuel",
            )
        },
        "started_us": None if times is None else times.started_us,
        "duration_us": None if times is None else times.duration_us,
        "changes": [shown(change_text(change, names.of)) for change in record.changes],
        "answers": [reply for reply in replies if reply is not None],
        "waits": [
            {
                "agent": names.of(park.place),
                "turn": park.turn,
                "asked": [shown(asked_of(question).text) for question in park.questions[:ASKED_MAX]],
                "asked_count": len(park.questions),
            }
            for park in record.parks[:TURNS_MAX]
        ],
        "waits_hidden": max(0, len(record.parks) - TURNS_MAX),
        "spawned": [agent.name for agent in record.spawned[:TURNS_MAX]],
        "stopped": [names.of(place) for place in record.stopped[:TURNS_MAX]],
        "turns": [
            {
                "place": turn.place,
                "agent": names.of(turn.place),
                "turn": turn.turn,
                "failed": None if turn.failure is None else turn.failure.kind,
                "read": len(turn.inbox),
                "sent": 0 if turn.output is None else len(turn.output.send),
                "effects": len(turn.effects),
                "fuel": turn.fuel,
                "duration_us": None if times is None or turn.place not in times.turns else times.turns[turn.place][1],
            }
            for turn in record.turns[:TURNS_MAX]
        ],
        "hidden": max(0, len(record.turns) - TURNS_MAX),
    }
