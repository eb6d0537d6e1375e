"""One turn with all that it had, did and left."""

from __future__ import annotations

from typing import Any, Final

from turnwise.core.calling import tool_named
from turnwise.core.records import EffectRecord, MessageRecord, ParkRecord, TurnRecord
from turnwise.errors import UsageError
from turnwise.journal.file.times import RoundTimes
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.names import AgentNames
from turnwise.monitor.answers.questions import QuestionRows
from turnwise.monitor.answers.texts import CHARS_WHOLE_MAX, shown, text_of

ROWS_MAX: Final = 500
"""Messages, effects, lines and values of a turn that are listed each; the page says how many more there are."""


def turn(journal: Journal, agent: str, number: int) -> dict[str, Any]:
    """The turn of an agent in a round, its state before and after, and the rounds of its turns around it.

    A turn that waited for people lies in several rounds: its parts before this one are told with what they asked. In a
    round after which it waits, it is told as far as it was then, with `waits`.
    """
    names = AgentNames(journal)
    place = journal.queries.agent(agent).place
    found: TurnRecord | ParkRecord | None = next((record for _, record in journal.queries.turns(place, number)), None)
    if found is None:
        found = next(iter(journal.rounds.parks.between(number, number, place).get(number, ())), None)
    if found is None:
        raise UsageError(f"{agent} has no turn in round {number}", where="turn", hint="Choose another round.")
    before = journal.queries.turn_before(place, number)
    parts = journal.rounds.parks.parts(place, found.turn, number)
    rows = QuestionRows(journal, names)
    asked = [(round_, question) for round_, park in parts for question in park.questions]
    asked += [(number, question) for question in found.questions] if isinstance(found, ParkRecord) else []
    effects = [(round_, effect) for round_, part in (*parts, (number, found)) for effect in part.effects]
    spans = _Spans(journal, place)
    messages = [journal.queries.message(seq) for seq in found.inbox[:ROWS_MAX]]
    sent = [] if isinstance(found, ParkRecord) else journal.grid.sent_by(place, number)
    state_before = journal.world.state_at(place, number - 1) if _was_there(journal, place, number) else None
    return {
        "round": number,
        "agent": agent,
        "place": place,
        "turn": found.turn,
        "before": None if before is None else before[0],
        "after": journal.grid.turn_after(place, number),
        "waits": isinstance(found, ParkRecord),
        "parts": [round_ for round_, _ in parts],
        **_bounds(journal, place, number),
        "fuel": found.fuel,
        "fuel_before": sum(park.fuel for _, park in parts),
        "executions": found.executions,
        "duration_us": spans.of_turn(number),
        "inbox": [message_row(message, names) for message in messages],
        "inbox_hidden": max(0, len(found.inbox) - ROWS_MAX),
        "asked": [rows.row(round_, place, question) for round_, question in asked[:ROWS_MAX]],
        "asked_hidden": max(0, len(asked) - ROWS_MAX),
        "effects": [
            _effect(effect, round_, spans.of_effect(round_, effect.index)) for round_, effect in effects[:ROWS_MAX]
        ],
        "effects_hidden": max(0, len(effects) - ROWS_MAX),
        "sent": [message_row(message, names) for message in sent[:ROWS_MAX]],
        "sent_hidden": max(0, len(sent) - ROWS_MAX),
        "state_before": None if state_before is None else shown(state_before, CHARS_WHOLE_MAX),
        **_left(found),
    }


def _bounds(journal: Journal, place: int, number: int) -> dict[str, Any]:
    """Bounds of an agent's turns in a round, and the hash of what was executed."""
    name = next(agent for agent in journal.queries.agents() if agent.place == place).kind
    kind = next((kind for kind in journal.header.plan_at(number).kinds if kind.name == name), None)
    if kind is None:
        return {"limits": None, "code": None}
    limits = kind.limits
    return {
        "limits": {
            "fuel": limits.fuel,
            "memory_bytes": limits.memory_bytes,
            "effects": limits.effects_max,
            "state_bytes": limits.state_bytes_max,
        },
        "code": kind.code,
    }


class _Spans:
    """Times of an agent's turns and effects, each round read once; None where none were noted."""

    def __init__(self, journal: Journal, place: int) -> None:
        self._journal = journal
        self._place = place
        self._rounds: dict[int, RoundTimes | None] = {}

    def of_turn(self, number: int) -> int | None:
        """Microseconds that the turn took in a round."""
        times = self._of(number)
        span = None if times is None else times.turns.get(self._place)
        return None if span is None else span.duration_us

    def of_effect(self, number: int, index: int) -> int | None:
        """Microseconds from asking to the answer of an effect."""
        times = self._of(number)
        span = None if times is None else times.effects.get((self._place, index))
        return None if span is None else span.duration_us

    def _of(self, number: int) -> RoundTimes | None:
        if number not in self._rounds:
            self._rounds[number] = self._journal.timings.round(number)
        return self._rounds[number]


def _was_there(journal: Journal, place: int, number: int) -> bool:
    return next(agent for agent in journal.queries.agents() if agent.place == place).born < number


def _left(found: TurnRecord | ParkRecord) -> dict[str, Any]:
    """The output of a turn, or the reason why it has none: it has failed, or waits."""
    stdout = shown(found.stdout, CHARS_WHOLE_MAX) if isinstance(found, TurnRecord) and found.stdout else None
    if isinstance(found, ParkRecord) or found.output is None:
        failure = None if isinstance(found, ParkRecord) else found.failure
        said = None if failure is None else {"kind": failure.kind, "message": shown(failure.message, CHARS_WHOLE_MAX)}
        empty: dict[str, Any] = {"logs": [], "records": [], "spawned": [], "stopped": [], "hidden": 0}
        return {"failure": said, "state": None, "stdout": stdout, **empty}
    out = found.output
    return {
        "failure": None,
        "stdout": stdout,
        "state": shown(out.state, CHARS_WHOLE_MAX),
        "wake_in": out.wake_in,
        "finish": None if out.finish is None else shown(out.finish, CHARS_WHOLE_MAX),
        "logs": [{"level": log.level, **shown(log.text)} for log in out.log[:ROWS_MAX]],
        "records": [{"name": record.name, "value": shown(str(record.value))} for record in out.record[:ROWS_MAX]],
        "spawned": [spawn.name for spawn in out.spawn[:ROWS_MAX]],
        "stopped": list(out.stop[:ROWS_MAX]),
        "hidden": sum(max(0, len(rows) - ROWS_MAX) for rows in (out.log, out.record, out.spawn, out.stop)),
    }


def _effect(effect: EffectRecord, round_: int, duration_us: int | None) -> dict[str, Any]:
    tool = tool_named(effect)
    members = ("text",) if tool is None else ("text", "data", "message")
    text = None if effect.model is None and tool is None else text_of(effect.reply, members)
    return {
        "index": effect.index,
        "round": round_,
        "kind": effect.kind,
        "model": effect.model,
        "request": shown(effect.request, CHARS_WHOLE_MAX),
        "reply": shown(effect.reply, CHARS_WHOLE_MAX),
        "tool": tool,
        "text": None if text is None else shown(text, CHARS_WHOLE_MAX),
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
        "attach": None if message.attach is None else shown(message.attach),
        "recipients": [names.of(place) for place in message.recipients[:8]],
        "recipients_count": len(message.recipients),
    }
