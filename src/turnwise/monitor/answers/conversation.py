"""Conversations: messages of chosen agents, answers of their models, and what they asked people, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from turnwise.core.calling import tool_named
from turnwise.core.records import EffectRecord, MessageRecord, ParkRecord, RoundRecord, TurnRecord
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.names import AgentNames
from turnwise.monitor.answers.questions import QuestionRows, defaults
from turnwise.monitor.answers.texts import shown, text_of
from turnwise.monitor.answers.turn import message_row

TURNS_MAX: Final = 100
"""Turns of one answer."""


def conversation(journal: Journal, agents: tuple[str, ...], after: int) -> dict[str, Any]:
    """Turns of some agents, of all if none are named, in the rounds behind `after`; `next` is where to go on, or None.

    A round is never divided: an answer has at least one, and ends with the first that makes it long enough.
    """
    names = AgentNames(journal)
    rows = _TalkRows(names, QuestionRows(journal, names))
    places = {place for place in map(names.place, agents) if place is not None}
    found: list[dict[str, Any]] = []
    for record in journal.rounds.between(after + 1):
        if len(found) >= TURNS_MAX:
            return {"turns": found, "next": record.round - 1}
        found += rows.of_round(record, places)
    return {"turns": found, "next": None}


class _TalkRows:
    """Makes rows of what was said."""

    def __init__(self, names: AgentNames, questions: QuestionRows) -> None:
        self._names = names
        self._questions = questions

    def of_round(self, record: RoundRecord, places: set[int]) -> list[dict[str, Any]]:
        """Rows of a round: of what came from outside, then of what each agent said and asked."""
        found = [
            self._outside(record.round, sent=[message])
            for message in record.inputs
            if not places or not places.isdisjoint(message.recipients)
        ]
        chosen = {self._names.of(place) for place in places}
        replies = [self._questions.answer(answer.question, answer.reply) for answer in record.answers]
        told = [reply for reply in replies if reply is not None and (not places or reply["agent"] in chosen)]
        found += [self._outside(record.round, replies=[reply]) for reply in told]
        sent: dict[int, list[MessageRecord]] = {}
        for message in record.messages:
            if message.sender is not None:
                sent.setdefault(message.sender, []).append(message)
        for part in record.parts:
            if not places or part.place in places:
                row = said(record.round, part, sent.get(part.place, ()), self._names, self._questions)
                if any(row[key] for key in ("sent", "answers", "calls", "asked", "defaults", "failed")):
                    found.append(row)
        return found

    def _outside(
        self, round_: int, sent: Sequence[MessageRecord] = (), replies: Sequence[dict[str, Any]] = ()
    ) -> dict[str, Any]:
        rows = [message_row(message, self._names) for message in sent]
        return {"round": round_, "agent": self._names.of(None), "sent": rows, "answers": [], "replies": list(replies)}


def said(
    round_: int,
    part: TurnRecord | ParkRecord,
    sent: Sequence[MessageRecord],
    names: AgentNames,
    questions: QuestionRows,
) -> dict[str, Any]:
    """Sayings of an agent in a turn, or in a part of one that waits: to others, to models, to people."""
    failure = part.failure if isinstance(part, TurnRecord) else None
    asked = part.questions if isinstance(part, ParkRecord) else ()
    return {
        "round": round_,
        "agent": names.of(part.place),
        "answers": [_answer(effect) for effect in part.effects if effect.model is not None],
        "calls": [_call(effect, tool) for effect in part.effects if (tool := tool_named(effect)) is not None],
        "defaults": defaults(part.effects),
        "asked": [questions.row(round_, part.place, question) for question in asked],
        "sent": [message_row(message, names) for message in sent],
        "failed": None if failure is None else failure.kind,
    }


def _call(effect: EffectRecord, tool: str) -> dict[str, Any]:
    """The call of a tool, with its arguments and what came of it."""
    return {
        "tool": tool,
        "args": shown(text_of(effect.request, ("args",))),
        "text": shown(text_of(effect.reply, ("text", "data", "message"))),
        "failed": effect.reply.startswith('{"error":'),
    }


def _answer(effect: EffectRecord) -> dict[str, Any]:
    """Prompt and answer of a model, as texts where the effect has texts."""
    return {
        "kind": effect.kind,
        "model": effect.model,
        "prompt": shown(text_of(effect.request, ("prompt", "messages"))),
        "text": shown(text_of(effect.reply, ("text",))),
        "tokens": None if effect.tokens is None else len(effect.tokens),
    }
