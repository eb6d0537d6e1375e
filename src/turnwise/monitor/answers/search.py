"""Search over names, messages, answers of models, questions to people with their answers, and logs."""

from __future__ import annotations

from typing import Any, Final

from turnwise.core.question import ASK
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.names import AgentNames
from turnwise.monitor.answers.questions import asked_of, reply_text
from turnwise.monitor.answers.texts import shown

HITS_MAX: Final = 100
"""Hits of one answer."""
ROUNDS_EACH: Final = 500
"""Rounds that are looked through for one answer; the page goes on from where it ended."""
AROUND_CHARS: Final = 60


def search(journal: Journal, wanted: str, after: int) -> dict[str, Any]:
    """Places where a text occurs in the rounds behind `after`, whatever its case; `next` is where to go on, or None."""
    names = AgentNames(journal)
    wanted = wanted.casefold()
    hits: list[dict[str, Any]] = []
    if after == 0:
        for agent in journal.queries.agents():
            if wanted in agent.name.casefold() and len(hits) < HITS_MAX:
                hits.append({"what": "agent", "round": agent.born, "agent": agent.name, "text": shown(agent.name)})
    number = after
    for number in range(after + 1, after + ROUNDS_EACH + 1):
        if number > journal.rounds.last_round or len(hits) >= HITS_MAX:
            break
        hits += _in_round(journal, number, wanted, names)
    more = number <= journal.rounds.last_round
    return {"hits": hits[: 2 * HITS_MAX], "next": number - 1 if more else None}


def _in_round(journal: Journal, number: int, wanted: str, names: AgentNames) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    record = next(journal.rounds.between(number, number), None)
    if record is None:
        return found

    def look(what: str, place: int | None, text: str, **more: int) -> None:
        at = text.casefold().find(wanted)
        if at >= 0:
            start = max(0, at - AROUND_CHARS)
            part = ("…" if start else "") + text[start : at + len(wanted) + AROUND_CHARS]
            found.append({"what": what, "round": number, "agent": names.of(place), "text": shown(part), **more})

    for message in (*record.inputs, *record.messages):
        look("message", message.sender, message.body, seq=message.seq)
    for park in record.parks:
        for question in park.questions:
            look("question", park.place, asked_of(question).text)
        for effect in park.effects:
            look("answer", park.place, effect.reply)
    for answer in record.answers:
        asked = journal.rounds.parks.question(answer.question)
        if asked is not None:  # the turn that goes on has it among its effects, too, but perhaps in a later round
            kind, text = asked[2].kind, reply_text(asked[2].kind, answer.reply)
            look("reply" if kind == ASK else "result", asked[1], text)
    for turn in record.turns:
        for effect in turn.effects:
            if effect.kind != ASK:
                look("answer", turn.place, effect.reply)
        for log in turn.output.log if turn.output is not None else ():
            look("log", turn.place, log.text)
        if turn.failure is not None:
            look("failure", turn.place, turn.failure.message)
    return found
