"""Conversations: messages of chosen agents and answers of their models, in the order in which they came."""

from __future__ import annotations

from typing import Any, Final

from turnwise.core.records import EffectRecord
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.names import AgentNames
from turnwise.monitor.answers.texts import shown, text_of
from turnwise.monitor.answers.turn import message_row

TURNS_MAX: Final = 100
"""Turns of one answer."""


def conversation(journal: Journal, agents: tuple[str, ...], after: int) -> dict[str, Any]:
    """Turns of some agents, of all if none are named, in the rounds behind `after`; `next` is where to go on, or None.

    A round is never divided: an answer has at least one, and ends with the first that makes it long enough.
    """
    names = AgentNames(journal)
    places = {place for place in map(names.place, agents) if place is not None}
    found: list[dict[str, Any]] = []
    for record in journal.rounds.between(after + 1):
        if len(found) >= TURNS_MAX:
            return {"turns": found, "next": record.round - 1}
        sent: dict[int, list[dict[str, Any]]] = {}
        for message in record.messages:
            if message.sender is not None:
                sent.setdefault(message.sender, []).append(message_row(message, names))
        if not places or any(not places.isdisjoint(message.recipients) for message in record.inputs):
            found += [
                {"round": record.round, "agent": names.of(None), "sent": [message_row(message, names)], "answers": []}
                for message in record.inputs
                if not places or not places.isdisjoint(message.recipients)
            ]
        for turn in record.turns:
            if places and turn.place not in places:
                continue
            answers = [_answer(effect) for effect in turn.effects if effect.model is not None]
            row = {"round": record.round, "agent": names.of(turn.place), "sent": sent.get(turn.place, [])}
            failure = None if turn.failure is None else turn.failure.kind
            if row["sent"] or answers or failure:
                found.append({**row, "answers": answers, "failed": failure})
    return {"turns": found, "next": None}


def _answer(effect: EffectRecord) -> dict[str, Any]:
    """Prompt and answer of a model, as texts where the effect has texts."""
    return {
        "kind": effect.kind,
        "model": effect.model,
        "prompt": shown(text_of(effect.request, ("prompt", "messages"))),
        "text": shown(text_of(effect.reply, ("text",))),
        "tokens": None if effect.tokens is None else len(effect.tokens),
    }
