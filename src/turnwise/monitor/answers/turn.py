"""One turn with all that it had, did and left."""

from __future__ import annotations

from typing import Any, Final

from turnwise.core.records import EffectRecord, MessageRecord, TurnRecord
from turnwise.errors import UsageError
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.names import AgentNames
from turnwise.monitor.answers.texts import CHARS_WHOLE_MAX, shown, text_of

ROWS_MAX: Final = 500
"""Messages, effects, lines and values of a turn that are listed each; the page says how many more there are."""


def turn(journal: Journal, agent: str, number: int) -> dict[str, Any]:
    """The turn of an agent in a round, its state before and after, and the rounds of its turns around it."""
    names = AgentNames(journal)
    place = journal.queries.agent(agent).place
    found = next((record for _, record in journal.queries.turns(place, number)), None)
    if found is None:
        raise UsageError(f"{agent} has no turn in round {number}", where="turn", hint="Choose another round.")
    before = journal.queries.turn_before(place, number)
    after = journal.grid.turn_after(place, number)
    times = journal.timings.round(number)
    span = None if times is None else times.turns.get(place)
    spans = {} if times is None else {nr: span[1] for (of, nr), span in times.effects.items() if of == place}
    messages = [journal.queries.message(seq) for seq in found.inbox[:ROWS_MAX]]
    sent = journal.grid.sent_by(place, number)
    state_before = journal.world.state_at(place, number - 1) if _was_there(journal, place, number) else None
    return {
        "round": number,
        "agent": agent,
        "place": place,
        "turn": found.turn,
        "before": None if before is None else before[0],
        "after": after,
        "fuel": found.fuel,
        "executions": found.executions,
        "duration_us": None if span is None else span[1],
        "inbox": [message_row(message, names) for message in messages],
        "inbox_hidden": max(0, len(found.inbox) - ROWS_MAX),
        "effects": [_effect(effect, spans.get(effect.index)) for effect in found.effects[:ROWS_MAX]],
        "effects_hidden": max(0, len(found.effects) - ROWS_MAX),
        "sent": [message_row(message, names) for message in sent[:ROWS_MAX]],
        "sent_hidden": max(0, len(sent) - ROWS_MAX),
        "state_before": None if state_before is None else shown(state_before, CHARS_WHOLE_MAX),
        "stdout": shown(found.stdout, CHARS_WHOLE_MAX) if found.stdout else None,
        **_left(found),
    }


def _was_there(journal: Journal, place: int, number: int) -> bool:
    return next(agent for agent in journal.queries.agents() if agent.place == place).born < number


def _left(found: TurnRecord) -> dict[str, Any]:
    """The output of a turn, or the reason why it has none."""
    if found.output is None:
        failure = found.failure
        said = None if failure is None else {"kind": failure.kind, "message": shown(failure.message, CHARS_WHOLE_MAX)}
        return {"failure": said, "state": None, "logs": [], "records": [], "spawned": [], "stopped": [], "hidden": 0}
    out = found.output
    return {
        "failure": None,
        "state": shown(out.state, CHARS_WHOLE_MAX),
        "wake_in": out.wake_in,
        "finish": None if out.finish is None else shown(out.finish, CHARS_WHOLE_MAX),
        "logs": [{"level": log.level, **shown(log.text)} for log in out.log[:ROWS_MAX]],
        "records": [{"name": record.name, "value": shown(str(record.value))} for record in out.record[:ROWS_MAX]],
        "spawned": [spawn.name for spawn in out.spawn[:ROWS_MAX]],
        "stopped": list(out.stop[:ROWS_MAX]),
        "hidden": sum(max(0, len(rows) - ROWS_MAX) for rows in (out.log, out.record, out.spawn, out.stop)),
    }


def _effect(effect: EffectRecord, duration_us: int | None) -> dict[str, Any]:
    return {
        "index": effect.index,
        "kind": effect.kind,
        "model": effect.model,
        "request": shown(effect.request, CHARS_WHOLE_MAX),
        "reply": shown(effect.reply, CHARS_WHOLE_MAX),
        "text": None if effect.model is None else shown(text_of(effect.reply, ("text",)), CHARS_WHOLE_MAX),
        "tokens": None if effect.tokens is None else len(effect.tokens),
        "duration_us": duration_us,
    }


def message_row(message: MessageRecord, names: AgentNames) -> dict[str, Any]:
    """A message in a list; of its recipients the first few, and how many there are."""
    return {
        "seq": message.seq,
        "round": message.round,
        "sender": names.of(message.sender),
        "to": message.to,
        "body": shown(message.body),
        "recipients": [names.of(place) for place in message.recipients[:8]],
        "recipients_count": len(message.recipients),
    }
